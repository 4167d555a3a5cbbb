"""Split documents by cluster, before any pair is made.

Nothing made from a document can then be in another split than the document or its kin.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from evqa.config.data import DocumentsConfig
from evqa.documents.dedup import Deduplication, Entry
from evqa.errors import GateError
from evqa.files import sha256_bytes
from evqa.records import Question, Split

IN_CORPUS, HELD_OUT = Question.SPLITS


def named_sources(questions: Iterable[Question], split: str) -> set[str]:
    """Return the sources that benchmark questions of a split name."""
    return {question.source for question in questions if question.split == split}


def is_named(source: str, url: str | None, sources: set[str]) -> bool:
    """Tell whether a document is one of the sources: by source, link, or file name."""
    return bool({source, url, PurePosixPath(source).name} & sources)


def splits_of_clusters(
    entries: Sequence[Entry],
    found: Deduplication,
    questions: Sequence[Question],
    config: DocumentsConfig,
) -> dict[str, Split]:
    """Return the split of each cluster.

    Args:
        entries: All documents; a question may name a duplicate that was dropped.
        found: Their clusters, and which of them are dropped.
        questions: The benchmark.
        config: The fractions for validation and test, counted over all kept documents.

    Raises:
        GateError: when one cluster holds documents of in_corpus and of held_out questions.
    """
    held_out = _clusters_named(entries, found, named_sources(questions, HELD_OUT))
    in_corpus = _clusters_named(entries, found, named_sources(questions, IN_CORPUS))
    _refuse_both(held_out, in_corpus)
    kept = [place for place in range(len(entries)) if place not in found.duplicates]
    sizes = Counter(found.clusters[place] for place in kept)
    free = {name: size for name, size in sizes.items() if name not in {*held_out, *in_corpus}}
    return (
        dict.fromkeys(in_corpus, Split.train)
        | dict.fromkeys(held_out, Split.held_out)
        | _draw(free, len(kept), config)
    )


def _clusters_named(
    entries: Sequence[Entry], found: Deduplication, sources: set[str]
) -> dict[str, str]:
    """Return the clusters that hold a named document, each with that document's source."""
    return {
        found.clusters[place]: entry.source
        for place, entry in enumerate(entries)
        if is_named(entry.source, entry.url, sources)
    }


def _refuse_both(held_out: dict[str, str], in_corpus: dict[str, str]) -> None:
    for cluster in sorted(held_out.keys() & in_corpus.keys()):
        raise GateError(
            f"benchmark: {held_out[cluster]} is held out, but {in_corpus[cluster]}, which is "
            f"nearly the same text, is to be trained on; give their questions one split"
        )


def _draw(free: dict[str, int], num_documents: int, config: DocumentsConfig) -> dict[str, Split]:
    """Fill validation, then test, with clusters in the order of their hash."""
    drawn = dict.fromkeys(free, Split.train)
    queue = sorted(free, key=lambda name: sha256_bytes(name.encode()))
    for split, fraction in (
        (Split.validation, config.validation_fraction),
        (Split.test, config.test_fraction),
    ):
        room = round(fraction * num_documents)
        for name in list(queue):
            if free[name] <= room:
                drawn[name] = split
                room -= free[name]
                queue.remove(name)
    return drawn
