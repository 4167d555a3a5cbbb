"""Read the Markdown sources of the sample corpus into typed blocks.

A source is a front matter of ``key: value`` lines between two ``---`` lines, then Markdown of four
kinds only: ``##`` headings, paragraphs, ``-`` lists and pipe tables, with ``**bold**``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

REQUIRED_KEYS = (
    "title",
    "authors",
    "published",
    "canonical",
    "license",
    "language",
    "kind",
    "layout",
    "category",
    "subject",
)


@dataclass(frozen=True, slots=True)
class Heading:
    """A section heading."""

    text: str


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A run of sentences; may contain ``**bold**``."""

    text: str


@dataclass(frozen=True, slots=True)
class Bullets:
    """An unordered list."""

    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table whose first row is the header."""

    rows: tuple[tuple[str, ...], ...]


Block = Heading | Paragraph | Bullets | Table


@dataclass(frozen=True, slots=True)
class Source:
    """One document of the corpus, before it becomes a page or a PDF."""

    stem: str
    meta: dict[str, str]
    body: str
    blocks: tuple[Block, ...]

    @property
    def authors(self) -> list[str]:
        """The authors' names, in order."""
        return [name.strip() for name in self.meta["authors"].split(",")]

    @property
    def split(self) -> str:
        """``held_out`` where the front matter says so, else ``in_corpus``."""
        return self.meta.get("split", "in_corpus")

    @property
    def file_name(self) -> str:
        """The base name of the built file."""
        return f"{self.stem}.{self.meta['kind']}"

    @property
    def license_url(self) -> str:
        """The address of the licence text."""
        if self.meta["license"] == "CC0-1.0":
            return "https://creativecommons.org/publicdomain/zero/1.0/"
        return "https://creativecommons.org/licenses/by/4.0/"


def read_sources(folder: Path) -> list[Source]:
    """Read every ``*.md`` file of a folder, sorted by name."""
    return [read_source(path) for path in sorted(folder.glob("*.md"))]


def read_source(path: Path) -> Source:
    """Read one source; a missing key or an unknown kind raises ValueError naming the file."""
    _, front, body = path.read_text(encoding="utf-8").split("---\n", 2)
    meta = dict(_key_value(line, path) for line in front.splitlines() if line.strip())
    missing = [key for key in REQUIRED_KEYS if key not in meta]
    if missing:
        raise ValueError(f"{path.name}: front matter lacks {', '.join(missing)}")
    if meta["kind"] not in ("html", "pdf"):
        raise ValueError(f"{path.name}: kind must be html or pdf, but got {meta['kind']!r}")
    return Source(path.stem, meta, body.strip(), tuple(parse_blocks(body)))


def _key_value(line: str, path: Path) -> tuple[str, str]:
    key, colon, value = line.partition(":")
    if not colon:
        raise ValueError(f"{path.name}: front matter line without a colon: {line!r}")
    return key.strip(), value.strip()


def parse_blocks(body: str) -> list[Block]:
    """Split Markdown into blocks at blank lines."""
    chunks = re.split(r"\n\s*\n", body.strip())
    return [_parse_block(chunk.strip()) for chunk in chunks if chunk.strip()]


def _parse_block(chunk: str) -> Block:
    lines = chunk.splitlines()
    if chunk.startswith("## "):
        return Heading(chunk[3:].strip())
    if all(line.startswith("- ") for line in lines):
        return Bullets(tuple(line[2:].strip() for line in lines))
    if all(line.startswith("|") for line in lines):
        rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines]
        return Table(tuple(row for row in rows if not set("".join(row)) <= set("-: ")))
    return Paragraph(" ".join(line.strip() for line in lines))
