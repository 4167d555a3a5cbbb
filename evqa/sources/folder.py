"""List the files of a folder in a fixed order, whatever the file system's."""

from collections.abc import Iterable
from pathlib import Path

from evqa.errors import UserError
from evqa.files import sha256_file
from evqa.sources.raw import RawFile

SUFFIXES = {
    "html": (".html", ".htm", ".xhtml"),
    "pdf": (".pdf",),
    "text": (".txt", ".md", ".mdx", ".markdown"),
}


def list_folder(folder: str, kind: str, key: str) -> list[RawFile]:
    """Return the files of one kind under a folder, sorted by their relative path.

    Args:
        folder: Read recursively; hidden files and folders are passed over.
        kind: html, pdf or text: decides which suffixes count.
        key: The config key that named the folder, for the error.

    Raises:
        UserError: when the folder does not exist, or is a file.
    """
    root = Path(folder)
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "does not exist"
        raise UserError(f"{key}={folder}: {what}; point {key} at a folder of {kind} files")
    return [_raw(path, root, kind) for path in sorted(_files(root, SUFFIXES[kind]))]


def _files(root: Path, suffixes: tuple[str, ...]) -> Iterable[Path]:
    for path in root.rglob("*"):
        relative = path.relative_to(root)
        hidden = any(part.startswith(".") for part in relative.parts)
        if not hidden and path.suffix.lower() in suffixes and path.is_file():
            yield path


def _raw(path: Path, root: Path, kind: str) -> RawFile:
    return RawFile(
        source=path.relative_to(root).as_posix(),
        kind=kind,
        path=path,
        sha256=sha256_file(path),
        num_bytes=path.stat().st_size,
    )
