"""What fits: bytes by term, in plain arithmetic (no torch)."""
