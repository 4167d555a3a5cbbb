"""``manifest.json`` of a version: the hash of every file, and where the weights come from."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from evqa.errors import UserError
from evqa.files import read_json, sha256_file, write_json

MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionManifest:
    """What a version is.

    Attributes:
        created: ISO 8601, UTC.
        files: Relative path of every file but the manifest → ``{"sha256", "size_bytes"}``.
        lineage: Run, config, data, base, metrics and parity, as the release found them.
    """

    name: str
    version: int
    created: str
    files: dict[str, dict[str, Any]]
    lineage: dict[str, Any]

    def write(self, folder: Path) -> None:
        """Write ``manifest.json`` into ``folder`` atomically."""
        write_json(folder / MANIFEST, asdict(self))

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the manifest of a version's folder.

        Raises:
            UserError: when it is missing, unreadable, or not a version's manifest.
        """
        path = folder / MANIFEST
        if not path.is_file():
            raise UserError(f"{folder}: not a registered version (manifest.json is missing)")
        values = read_json(path)
        try:
            return cls(**values)
        except TypeError:
            raise UserError(f"{path}: not the manifest of a version") from None


def hash_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Return hash and size of every file below ``folder``, the manifest left out."""
    return {
        relative: {"sha256": sha256_file(path), "size_bytes": path.stat().st_size}
        for relative, path in _files(folder)
    }


def differences(folder: Path, manifest: VersionManifest) -> list[str]:
    """Return one line for each file that is missing, changed, or not in the manifest."""
    present = dict(_files(folder))
    problems = [f"{name}: missing" for name in sorted(manifest.files.keys() - present.keys())]
    problems += [f"{name}: not in the manifest" for name in present.keys() - manifest.files.keys()]
    problems += [
        f"{name}: content has changed"
        for name, path in present.items()
        if name in manifest.files and sha256_file(path) != manifest.files[name].get("sha256")
    ]
    return problems


def _files(folder: Path) -> list[tuple[str, Path]]:
    found = [(path.relative_to(folder).as_posix(), path) for path in sorted(folder.rglob("*"))]
    return [(name, path) for name, path in found if name != MANIFEST and not path.is_dir()]
