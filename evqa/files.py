"""Atomic writes, hashes and locks: a kill at any moment leaves the old file or the new one.

The recipe is write to a hidden sibling, flush, ``fsync``, ``os.replace``, then ``fsync`` the
folder (see `man 2 rename` and `man 2 fsync`). Tests hook `os.replace` and `os.fsync` to crash at
every write point.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from evqa.errors import UserError

HASH_BLOCK_BYTES = 1 << 20


def sha256_bytes(data: bytes) -> str:
    """Return the hexadecimal SHA-256 of ``data``."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file, read block by block."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(HASH_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def sha256_json(value: Any) -> str:
    """Return the SHA-256 of a JSON value in its canonical spelling (sorted keys, no spaces)."""
    spelled = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return sha256_bytes(spelled.encode())


def _temporary_sibling(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def atomic_writer(path: Path) -> Iterator[IO[str]]:
    """Open a text stream whose content replaces ``path`` only when the block ends well.

    Raises:
        OSError: as the file system reports it; ``path`` is then unchanged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_sibling(path)
    try:
        with temporary.open("w", encoding="utf-8", newline="\n") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)  # noqa: PTH105  the one call that tests hook to simulate a crash
        _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` atomically."""
    with atomic_writer(path) as stream:
        stream.write(text)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON value to ``path`` atomically: indented, keys in the order given."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def read_json(path: Path) -> Any:
    """Read one JSON value.

    Raises:
        UserError: when the file is not JSON, naming file and line.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: not JSON (line {error.lineno}: {error.msg})") from None


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a hidden sibling folder that becomes ``path`` only when the block ends well.

    An existing ``path`` is replaced. Nothing half-written is ever visible under its name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_sibling(path)
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        for file in sorted(p for p in temporary.rglob("*") if p.is_file()):
            with file.open("rb") as stream:
                os.fsync(stream.fileno())
        _swap_in(temporary, path)
        _sync_folder(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _swap_in(temporary: Path, path: Path) -> None:
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    if path.exists():
        path.rename(old)
    os.replace(temporary, path)  # noqa: PTH105  the one call that tests hook to simulate a crash
    shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def folder_lock(folder: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold an exclusive lock on a folder across processes; the kernel releases it on death.

    The lock is on the folder itself, so it leaves no file behind.

    Raises:
        BlockingIOError: when another process holds it and ``wait`` is false.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(descriptor)


def point_link(link: Path, target: Path) -> None:
    """Point a relative symbolic link at ``target`` in one atomic step."""
    temporary = _temporary_sibling(link)
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(os.path.relpath(target, link.parent))
    os.replace(temporary, link)  # noqa: PTH105  the one call that tests hook to simulate a crash
