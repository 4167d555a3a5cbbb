"""The chunks of a dataset that pairs may be made from, read from its files again and again."""

from collections.abc import Callable, Iterator
from pathlib import Path

from evqa.qa.candidate import Passage
from evqa.records import Chunk, Document, Split, read_jsonl


class Passages:
    """Iterates over chunks with their documents, in file order; held-out documents give none.

    Args:
        folder: Holds ``documents.jsonl`` and ``chunks.jsonl``, chunks in the order of documents.
        keep: Which documents count; by default those that are not held out.
    """

    def __init__(self, folder: Path, keep: Callable[[Document], bool] | None = None) -> None:
        self._folder = folder
        self._keep = keep or (lambda document: document.split != Split.held_out)

    def __iter__(self) -> Iterator[Passage]:
        """Yield the passages; one document is in memory at a time."""
        documents = read_jsonl(self._folder / "documents.jsonl", Document)
        current: Document | None = None
        for chunk in read_jsonl(self._folder / "chunks.jsonl", Chunk):
            while current is None or current.id != chunk.document_id:
                current = next(documents)
            if self._keep(current):
                yield Passage(chunk=chunk, document=current)

    def of_sources(self, sources: set[str]) -> list[Passage]:
        """Return the passages of some documents, named by their source."""
        return list(Passages(self._folder, lambda document: document.source in sources))

    def texts(self) -> Iterator[str]:
        """Yield the text of each document that counts."""
        for document in read_jsonl(self._folder / "documents.jsonl", Document):
            if self._keep(document):
                yield document.text
