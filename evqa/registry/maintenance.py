"""Comparing versions, and removing those that nothing needs."""

import shutil
from dataclasses import asdict
from typing import Any

from evqa.errors import UserError
from evqa.files import folder_lock
from evqa.registry.manifest import VersionManifest
from evqa.registry.store import Registry, leftovers, remove_leftovers

COMPARED = ("git_commit", "seed", "verdict", "base", "dataset", "config", "export", "parity")


def collect_garbage(registry: Registry, keep: int, *, dry_run: bool = False) -> list[str]:
    """Remove versions that no alias names, but for the newest ``keep``, and leftovers of kills.

    Args:
        registry: The versions of one name.
        keep: How many of the newest versions stay in any case; at least 1.
        dry_run: Only say what would be removed.

    Returns:
        What was removed: ``name/version``, or a leftover's path.

    Raises:
        UserError: ``keep`` is below 1 (the newest number must stay, so that none is given twice).
    """
    if keep < 1:
        raise UserError(f"--keep: must be at least 1, but got {keep}")
    with folder_lock(registry.root):
        named = set(asdict(registry.aliases()).values())
        old = [version for version in registry.versions()[:-keep] if version not in named]
        left = leftovers(registry.root)
        if not dry_run:
            for version in old:
                registry.forget(version)
                shutil.rmtree(registry.root / str(version))
            remove_leftovers(registry.root)
    return [f"{registry.name}/{version}" for version in old] + [str(path) for path in left]


def differences(one: VersionManifest, other: VersionManifest) -> list[tuple[str, Any, Any]]:
    """Return what differs between two versions: (what, in one, in the other).

    Nested values are told by their dotted path, such as ``config.lora.r``; files by their hash.
    """
    left = _flat({key: one.lineage.get(key) for key in COMPARED}) | _figures(one)
    right = _flat({key: other.lineage.get(key) for key in COMPARED}) | _figures(other)
    return [
        (key, left.get(key), right.get(key))
        for key in dict.fromkeys([*left, *right])
        if left.get(key) != right.get(key)
    ]


def _figures(manifest: VersionManifest) -> dict[str, Any]:
    systems = (manifest.lineage.get("metrics") or {}).get("systems") or {}
    scores = {
        f"metrics.{system}.{metric}": score.get("value") if isinstance(score, dict) else score
        for system, metrics in systems.items()
        for metric, score in metrics.items()
    }
    files = {f"file {name}": entry["sha256"][:12] for name, entry in manifest.files.items()}
    return scores | files


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict) or not value:
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        flat |= _flat(inner, f"{prefix}.{key}" if prefix else str(key))
    return flat
