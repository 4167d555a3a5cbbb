"""What is collected but not yet read, and why a document could not be read."""

from dataclasses import dataclass, field
from pathlib import Path

from evqa.errors import EvqaError
from evqa.records import Document, Dropped


@dataclass(frozen=True, slots=True, kw_only=True)
class RawFile:
    """The bytes of one document on disk: a local file, or an entry of the HTTP cache.

    Attributes:
        source: The URL, or the path relative to the folder it was found in.
        kind: html, pdf or text.
        sha256: Of the bytes.
        fetched: When a URL was fetched (ISO 8601), null for local files.
    """

    source: str
    kind: str
    path: Path
    sha256: str
    num_bytes: int
    fetched: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a reader found in the bytes of a document.

    Attributes:
        pages: The text of each PDF page; a single text for other kinds. The convention of
            `evqa.segmentation` holds in each.
        url: The canonical link that a page states.
        published: ISO 8601 date, as stated.
    """

    pages: list[str]
    title: str = ""
    language: str | None = None
    authors: list[str] = field(default_factory=list)
    published: str | None = None
    url: str | None = None
    license: str | None = None


class UnreadableError(EvqaError):
    """A document yields no text. It becomes a drop with a reason and never ends the run.

    Args:
        reason: One word of the vocabulary of ``dropped.jsonl``, such as ``encrypted``.
        detail: What a person needs to know to mend it.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail

    def drop(self, stage: str, source: str) -> Dropped:
        """Return the line of ``dropped.jsonl`` for a source of which nothing was got."""
        return Dropped(
            stage=stage,
            id=Document.make_id(source, ""),
            source=source,
            reason=self.reason,
            detail=self.detail,
        )
