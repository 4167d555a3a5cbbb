"""All the steps from documents as read to split documents and their chunks, with the ledger.

Cleaning and filtering look at one document, so they run in the processes that read (`digest`).
Deduplication and splitting look at all of them: `Collection` keeps the texts on disk and a sketch
of each in memory.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from evqa.config.data import DocumentsConfig
from evqa.documents.clean import clean_document
from evqa.documents.dedup import Deduplication, Entry, deduplicate
from evqa.documents.filters import rejection, with_language
from evqa.documents.pages import map_pages
from evqa.documents.pii import scrub
from evqa.documents.repeats import without_repeats
from evqa.documents.shingles import Fingerprint, fingerprint, jaccard
from evqa.documents.split import splits_of_clusters
from evqa.documents.spool import Spool
from evqa.ledger import Ledger
from evqa.records import Document, Dropped, Question, Split


@dataclass(frozen=True, slots=True)
class Digested:
    """A clean document that passed the filters, with what deduplication needs of it."""

    document: Document
    print: Fingerprint


def digest(document: Document, config: DocumentsConfig) -> Digested | Dropped:
    """Clean one document and filter it: kept, or dropped with a reason."""
    clean = without_repeats(clean_document(document))
    if config.scrub_pii:
        clean = map_pages(clean, lambda text: scrub(text, plates=config.scrub_license_plates))
    clean = with_language(clean)
    if found := rejection(clean, config):
        reason, detail = found
        return Dropped(
            stage="filter", id=clean.id, source=clean.source, reason=reason, detail=detail
        )
    return Digested(clean, fingerprint(clean.text))


class Collection:
    """The documents of a dataset, in the order added; texts on disk, sketches in memory.

    Use as a context: the files it works with go when it ends.

    Args:
        folder: For the working files.
        config: Thresholds and fractions.
        ledger: Stages ``filter`` and ``deduplicate``.
    """

    def __init__(self, folder: Path, config: DocumentsConfig, ledger: Ledger) -> None:
        self._spool = Spool(folder)
        self._config = config
        self._ledger = ledger
        self._entries: list[Entry] = []
        self._found = Deduplication({}, [])
        self._splits: dict[str, Split] = {}

    def __enter__(self) -> Self:
        """Open the working files."""
        self._spool.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the working files."""
        self._spool.__exit__(kind, error, trace)

    def add(self, result: Digested | Dropped) -> None:
        """Take in what `digest` made of a document."""
        self._ledger.enter("filter")
        if isinstance(result, Dropped):
            self._ledger.drop(**dataclasses.asdict(result))
            return
        self._ledger.keep("filter")
        self._entries.append(Entry.of(result.document, result.print))
        self._spool.add(result.document, result.print.grams)

    def settle(self, questions: Sequence[Question]) -> None:
        """Deduplicate and split what was added.

        Raises:
            GateError: when the benchmark names one cluster both in its corpus and held out.
        """
        config = self._config
        self._found = deduplicate(
            self._entries,
            self._spool.grams_at,
            config.near_duplicate_jaccard,
            config.cluster_jaccard,
        )
        self._account()
        self._splits = splits_of_clusters(self._entries, self._found, questions, config)

    def _account(self) -> None:
        duplicates = self._found.duplicates
        self._ledger.enter("deduplicate", len(self._entries))
        self._ledger.keep("deduplicate", len(self._entries) - len(duplicates))
        for place in sorted(duplicates):
            entry, kept = self._entries[place], self._entries[duplicates[place].kept]
            self._ledger.drop(
                "deduplicate",
                id=entry.id,
                source=entry.source,
                reason=duplicates[place].reason,
                detail=f"Jaccard {duplicates[place].jaccard:.3f} with {kept.source}",
            )

    @property
    def left_out(self) -> set[str]:
        """The sources of dropped duplicates."""
        return {self._entries[place].source for place in self._found.duplicates}

    def documents(self) -> Iterator[Document]:
        """Yield the kept documents with cluster and split, in the order added."""
        for place, document in enumerate(self._spool.documents()):
            if place not in self._found.duplicates:
                cluster = self._found.clusters[place]
                yield dataclasses.replace(
                    document, cluster_id=cluster, split=self._splits[cluster].value
                )

    def closest_training_documents(self) -> list[dict[str, Any]]:
        """Return each held-out document with the training document that is most like it.

        ``jaccard`` compares the two as wholes; ``contained`` is the share of the held-out
        document's 8-grams that one training document holds, however long that is.
        """
        held_out = self._kept_of(Split.held_out)
        best = dict.fromkeys(held_out, (0.0, 0.0, ""))
        grams = {place: self._spool.grams_at(place) for place in held_out}
        for training in self._kept_of(Split.train):
            other = self._spool.grams_at(training)
            for place in held_out:
                common = np.intersect1d(grams[place], other, assume_unique=True).size
                contained = common / max(grams[place].size, 1)
                row = (contained, jaccard(grams[place], other), self._entries[training].source)
                best[place] = max(best[place], row)
        return [
            {
                "source": self._entries[place].source,
                "closest": source,
                "jaccard": round(similarity, 4),
                "contained": round(contained, 4),
            }
            for place, (contained, similarity, source) in best.items()
        ]

    def _kept_of(self, split: Split) -> list[int]:
        return [
            place
            for place, cluster in enumerate(self._found.clusters)
            if place not in self._found.duplicates and self._splits[cluster] is split
        ]
