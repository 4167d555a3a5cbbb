from traced_world import world

__all__ = ["world"]
