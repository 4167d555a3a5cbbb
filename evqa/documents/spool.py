"""Documents and their grams in files, so that a corpus need not fit in memory."""

import json
from array import array
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import numpy as np

from evqa.documents.shingles import Grams
from evqa.records import Document

GRAM_BYTES = 8


class Spool:
    """Two files under a folder, one record after another; use as a context, which removes them.

    Args:
        folder: Where ``.spool.jsonl`` and ``.spool.grams`` are made.
    """

    def __init__(self, folder: Path) -> None:
        self._texts_path = folder / ".spool.jsonl"
        self._grams_path = folder / ".spool.grams"
        self._num_grams = array("q")
        self._grams_from = array("q")

    def __enter__(self) -> Self:
        """Open both files, empty."""
        self._texts: IO[bytes] = self._texts_path.open("w+b")
        self._grams: IO[bytes] = self._grams_path.open("w+b")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close and remove both files."""
        for stream, path in ((self._texts, self._texts_path), (self._grams, self._grams_path)):
            stream.close()
            path.unlink(missing_ok=True)

    def add(self, document: Document, grams: Grams) -> None:
        """Append a document with its grams."""
        self._texts.write(json.dumps(document.to_dict(), ensure_ascii=False).encode() + b"\n")
        self._grams_from.append(self._grams.tell())
        self._num_grams.append(grams.size)
        self._grams.write(grams.tobytes())

    def documents(self) -> Iterator[Document]:
        """Yield the documents in the order they were added."""
        self._texts.seek(0)
        for line in self._texts:
            yield Document.from_dict(json.loads(line))

    def grams_at(self, place: int) -> Grams:
        """Return the grams of the document at a place."""
        self._grams.seek(self._grams_from[place])
        data = self._grams.read(self._num_grams[place] * GRAM_BYTES)
        return np.frombuffer(data, np.uint64)
