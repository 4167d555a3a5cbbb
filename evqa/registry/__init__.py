"""Immutable versions of models in a folder, with aliases that move atomically."""

from evqa.registry.manifest import VersionManifest
from evqa.registry.store import Aliases, Registry, parse_reference

__all__ = ["Aliases", "Registry", "VersionManifest", "parse_reference"]
