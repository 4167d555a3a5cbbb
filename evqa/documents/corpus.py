"""All the steps from documents as read to split documents and their chunks, with the ledger."""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from evqa.config.data import DocumentsConfig
from evqa.documents.chunk import chunk_document
from evqa.documents.clean import clean_document
from evqa.documents.dedup import Deduplication, deduplicate, jaccard, shingles
from evqa.documents.filters import rejection, with_language
from evqa.documents.pages import map_pages
from evqa.documents.pii import scrub
from evqa.documents.repeats import without_repeats
from evqa.documents.split import assign_splits
from evqa.ledger import Ledger
from evqa.records import Chunk, Document, Question, Split


@dataclass(frozen=True, slots=True)
class Corpus:
    """Split documents, their chunks, and the sources that were read but left out."""

    documents: list[Document]
    chunks: list[Chunk]
    left_out: set[str]


def clean_and_filter(
    documents: Iterable[Document], config: DocumentsConfig, ledger: Ledger
) -> list[Document]:
    """Return cleaned documents that pass the filters; the others are dropped with a reason."""
    kept = []
    for document in documents:
        ledger.enter("filter")
        clean = without_repeats(clean_document(document))
        if config.scrub_pii:
            clean = map_pages(clean, scrub)
        clean = with_language(clean)
        if found := rejection(clean, config):
            reason, detail = found
            ledger.drop("filter", id=clean.id, source=clean.source, reason=reason, detail=detail)
        else:
            ledger.keep("filter")
            kept.append(clean)
    return kept


def build_corpus(
    documents: Sequence[Document],
    questions: Sequence[Question],
    config: DocumentsConfig,
    ledger: Ledger,
) -> Corpus:
    """Deduplicate, split and chunk documents that passed the filters.

    Raises:
        GateError: when the benchmark names one cluster both in its corpus and held out.
    """
    found = deduplicate(documents, config.near_duplicate_jaccard, config.cluster_jaccard)
    _account(found, ledger)
    everyone = [
        dataclasses.replace(document, cluster_id=found.clusters[document.id])
        for document in documents
    ]
    kept_ids = {document.id for document in found.kept}
    kept = [document for document in everyone if document.id in kept_ids]
    split = assign_splits(kept, everyone, questions, config)
    chunks = [chunk for document in split for chunk in chunk_document(document, config)]
    left_out = {duplicate.document.source for duplicate in found.duplicates}
    return Corpus(split, chunks, left_out)


def _account(found: Deduplication, ledger: Ledger) -> None:
    ledger.enter("deduplicate", len(found.kept) + len(found.duplicates))
    ledger.keep("deduplicate", len(found.kept))
    for duplicate in found.duplicates:
        ledger.drop(
            "deduplicate",
            id=duplicate.document.id,
            source=duplicate.document.source,
            reason=duplicate.reason,
            detail=f"Jaccard {duplicate.jaccard:.3f} with {duplicate.kept.source}",
        )


def closest_training_documents(documents: Sequence[Document]) -> list[dict[str, object]]:
    """Return each held-out document with the training document that is most like it."""
    held_out = [document for document in documents if document.split == Split.held_out]
    training = [document for document in documents if document.split == Split.train]
    grams = {document.id: shingles(document.text) for document in [*held_out, *training]}
    rows: list[dict[str, object]] = []
    for document in held_out:
        scores = [(jaccard(grams[document.id], grams[t.id]), t.source) for t in training]
        similarity, source = max(scores, default=(0.0, ""))
        rows.append(
            {"source": document.source, "closest": source, "jaccard": round(similarity, 4)}
        )
    return rows
