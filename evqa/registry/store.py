"""The registry: ``<folder>/<name>/<version>/``, ``index.json`` and ``aliases.json``.

A version exists when the index names it. Publishing writes the whole folder under a hidden name,
moves it into place and then writes the index, all under the lock of ``<folder>/<name>``; a kill
in between leaves a folder that no index names, which the next publish replaces. Readers take no
lock: index and aliases are replaced atomically.
"""

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evqa.errors import GateError, UserError
from evqa.files import atomic_folder, folder_lock, read_json, sha256_file, write_json
from evqa.registry.gate import missing_proof, require_proof
from evqa.registry.manifest import MANIFEST, VersionManifest, differences, hash_files

HISTORY = "history.json"
HIDDEN = (".staging-*", ".*.tmp", ".*.old")
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Aliases:
    """Names that move between versions; null where nothing has the name."""

    champion: int | None = None
    candidate: int | None = None
    previous: int | None = None


class Registry:
    """The versions registered under one name.

    Args:
        folder: The registry's folder, shared by all names.
        name: Lower-case letters, digits, ``.``, ``_`` and ``-``.

    Raises:
        UserError: for a name that cannot be a folder's.
    """

    def __init__(self, folder: Path, name: str) -> None:
        if not NAME.fullmatch(name):
            raise UserError(
                f"registry.name: must be lower-case letters, digits, '.', '_' or '-', got {name!r}"
            )
        self.name = name
        self.root = folder / name

    def versions(self) -> list[int]:
        """Return the registered versions, oldest first."""
        return sorted(int(version) for version in self._index())

    def aliases(self) -> Aliases:
        """Return where the aliases point."""
        path = self.root / "aliases.json"
        return Aliases(**read_json(path)) if path.is_file() else Aliases()

    def folder(self, version: int) -> Path:
        """Return the folder of a registered version.

        Raises:
            UserError: when there is none; names those that exist.
        """
        if str(version) not in self._index():
            known = (
                ", ".join(map(str, self.versions())) or "none yet; run `python -m evqa.release`"
            )
            raise UserError(f"{self.name}/{version}: no such version (registered: {known})")
        return self.root / str(version)

    def manifest(self, version: int) -> VersionManifest:
        """Return the manifest of a registered version."""
        return VersionManifest.read(self.folder(version))

    def resolve(self, wanted: str) -> int:
        """Return the version that a number or an alias names, as it is printed ("evqa/2") too.

        Raises:
            UserError: for an alias that points nowhere, and for anything else.
        """
        wanted = wanted.removeprefix(f"{self.name}/")
        if wanted.isdecimal():
            return int(self.folder(int(wanted)).name)
        aliases = asdict(self.aliases())
        if wanted not in aliases:
            raise UserError(
                f"{self.name}/{wanted}: expected a version's number or one of {', '.join(aliases)}"
            )
        if aliases[wanted] is None:
            raise UserError(f"{self.name}/{wanted}: no version has this alias")
        return int(aliases[wanted])

    @contextlib.contextmanager
    def staging(self) -> Iterator[Path]:
        """Yield a hidden folder beside the versions to build the next one in.

        What is left of it at the end of the block is removed.
        """
        with contextlib.ExitStack() as held:
            with folder_lock(self.root):
                remove_leftovers(self.root)
                folder = Path(tempfile.mkdtemp(prefix=".staging-", dir=self.root))
                held.enter_context(folder_lock(folder))  # while we live; see `leftovers`
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    def publish(self, staged: Path, lineage: dict[str, Any]) -> int:
        """Register the files in ``staged`` as the next version and make it the candidate.

        Args:
            staged: A folder on the registry's file system; its files are moved out of it.
            lineage: What the manifest keeps beside the hashes.

        Returns:
            The version's number: 1, 2, …
        """
        files = hash_files(staged)
        with folder_lock(self.root):
            version = max(self.versions(), default=0) + 1
            manifest = VersionManifest(
                name=self.name,
                version=version,
                created=datetime.now(UTC).isoformat(timespec="seconds"),
                files=files,
                lineage=lineage,
            )
            target = self.root / str(version)
            with atomic_folder(target) as hidden:
                _move_content(staged, hidden)
                manifest.write(hidden)
            entry = {
                "manifest_sha256": sha256_file(target / MANIFEST),
                "created": manifest.created,
            }
            write_json(self.root / "index.json", {**self._index(), str(version): entry})
            self._write_aliases(replace(self.aliases(), candidate=version))
        return version

    def problems(self, version: int) -> list[str]:
        """Hash every file of a version again; return a line for each that is not as it was."""
        folder = self.folder(version)
        path = folder / MANIFEST
        if not path.is_file():
            return [f"{MANIFEST}: missing"]
        if sha256_file(path) != self._index()[str(version)]["manifest_sha256"]:
            return [f"{MANIFEST}: content has changed (its hash is not the one in index.json)"]
        return differences(folder, VersionManifest.read(folder))

    def verify(self, version: int) -> None:
        """Refuse a version whose files are not those that were registered.

        Raises:
            GateError: naming the files.
        """
        if problems := self.problems(version):
            raise GateError(f"{self.name}/{version} is damaged: {'; '.join(problems)}")

    def promote(self, version: int, *, force_reason: str | None = None) -> Aliases:
        """Make a version the champion; the champion so far becomes ``previous``.

        Args:
            version: A registered version.
            force_reason: Why it is promoted without proof; kept in the history.

        Raises:
            GateError: its files are not those that were registered (never to be forced), its
                parity was not proved, or its verdict is not SHIP.
        """
        self.verify(version)
        manifest = self.manifest(version)
        if force_reason is None:
            require_proof(manifest)
        with folder_lock(self.root):
            now = self.aliases()
            if now.champion == version:
                return now
            candidate = None if now.candidate == version else now.candidate
            moved = Aliases(champion=version, candidate=candidate, previous=now.champion)
            lacks = missing_proof(manifest)
            self._record("promote", version, now.champion, lacks=lacks, reason=force_reason)
            return self._write_aliases(moved)

    def rollback(self) -> Aliases:
        """Make the previous champion the champion again; the two change places.

        Raises:
            UserError: when there is no previous champion.
            GateError: when its files are not those that were registered.
        """
        with folder_lock(self.root):
            now = self.aliases()
            if now.previous is None:
                raise UserError(f"{self.name}: nothing to roll back to (no previous champion)")
            self.verify(now.previous)
            self._record("rollback", now.previous, now.champion)
            return self._write_aliases(replace(now, champion=now.previous, previous=now.champion))

    def history(self) -> list[dict[str, Any]]:
        """Return every change of the champion, oldest first."""
        path = self.root / HISTORY
        return list(read_json(path)) if path.is_file() else []

    def forget(self, version: int) -> None:
        """Take a version out of the index; the caller holds the lock and removes its folder."""
        index = self._index()
        index.pop(str(version), None)
        write_json(self.root / "index.json", index)

    def _record(self, action: str, version: int, before: int | None, **details: Any) -> None:
        entry = {
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "action": action,
            "version": version,
            "champion_before": before,
            **{key: value for key, value in details.items() if value is not None},
        }
        write_json(self.root / HISTORY, [*self.history(), entry])

    def _index(self) -> dict[str, Any]:
        path = self.root / "index.json"
        return dict(read_json(path)) if path.is_file() else {}

    def _write_aliases(self, aliases: Aliases) -> Aliases:
        write_json(self.root / "aliases.json", asdict(aliases))
        return aliases


def leftovers(root: Path) -> list[Path]:
    """Return what kills left: hidden entries that no living process holds, unlisted versions.

    The caller holds the lock on ``root``, under which all but staging folders are made.
    """
    index = root / "index.json"
    known = read_json(index) if index.is_file() else {}
    found = [path for pattern in HIDDEN for path in root.glob(pattern)]
    found += [path for path in root.glob("[0-9]*") if path.is_dir() and path.name not in known]
    return sorted(path for path in found if not (path.is_dir() and _held(path)))


def remove_leftovers(root: Path) -> list[Path]:
    """Remove and return what killed releases left; the caller holds the lock on ``root``."""
    found = leftovers(root)
    for path in found:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return found


def _held(folder: Path) -> bool:
    with contextlib.suppress(BlockingIOError), folder_lock(folder, wait=False):
        return False
    return True


def _move_content(source: Path, target: Path) -> None:
    for path in source.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)  # safetensors writes for its owner only
    for entry in sorted(source.iterdir()):
        os.replace(entry, target / entry.name)  # noqa: PTH105  the one call that tests hook


def registered_names(folder: Path) -> list[str]:
    """Return the names that have versions in a registry's folder."""
    return sorted(index.parent.name for index in folder.glob("*/index.json"))


def parse_reference(reference: str) -> tuple[str, str]:
    """Split ``NAME/VERSION``; the version is a number or an alias.

    Raises:
        UserError: when it is not of this form.
    """
    name, slash, version = reference.partition("/")
    if not (name and slash and version) or "/" in version:
        raise UserError(f"{reference}: expected NAME/VERSION, such as evqa/1 or evqa/champion")
    return name, version
