"""Find duplicates: exact ones by their grams, near ones by MinHash-LSH verified by true Jaccard.

Documents are compared as sets of word 8-grams (`evqa.documents.shingles`). Locality-sensitive
hashing proposes pairs: documents whose sketches agree in a whole band (Leskovec, Rajaraman and
Ullman, Mining of Massive Datasets, 3.4). Each proposal is then verified exactly, so that the
sketch decides nothing. The bands are sorted columns of numbers instead of tables of Python
objects, so that 100,000 documents take some 100 MB; the texts stay on disk. The result does not
depend on the order of the documents.
"""

import functools
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from evqa.documents.shingles import (
    NUM_PERMUTATIONS,
    Fingerprint,
    Grams,
    Sketch,
    fingerprint,
    jaccard,
)
from evqa.records import Document, stable_id

# Bands of two rows propose a pair of Jaccard 0.3 with probability 1 - (1 - 0.3²)⁶⁴ = 0.998.
ROWS_PER_BAND = 2
# Grams of so many documents are kept in memory while pairs are verified.
NUM_CACHED_GRAMS = 256

Pairs = dict[tuple[int, int], float]


@dataclass(frozen=True, slots=True)
class Entry:
    """What is remembered of a document while its text lies on disk."""

    id: str
    source: str
    url: str | None
    num_words: int
    digest: bytes
    sketch: Sketch

    @classmethod
    def of(cls, document: Document, found: Fingerprint) -> "Entry":
        """Return the entry of a document."""
        return cls(
            document.id, document.source, document.url, found.num_words, found.digest, found.sketch
        )

    @property
    def preference(self) -> tuple[int, str, str]:
        """Of alike documents the one that sorts first stays: the one with most words."""
        return -self.num_words, self.source, self.id


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A document that another one stands for; both by their place in the order given."""

    place: int
    kept: int
    jaccard: float

    @property
    def reason(self) -> str:
        """The reason under which it is dropped."""
        return "exact_duplicate" if self.jaccard == 1.0 else "near_duplicate"


@dataclass(frozen=True, slots=True)
class Deduplication:
    """What stands for what, and which documents belong together.

    Attributes:
        duplicates: By place; every other document is kept.
        clusters: Cluster id of every document, dropped ones included, by place.
    """

    duplicates: dict[int, Duplicate]
    clusters: list[str]


def deduplicate_texts(
    documents: Sequence[Document], duplicate_jaccard: float, cluster_jaccard: float
) -> Deduplication:
    """Deduplicate documents that are in memory; see `deduplicate`."""
    prints = [fingerprint(document.text) for document in documents]
    entries = [Entry.of(d, found) for d, found in zip(documents, prints, strict=True)]
    return deduplicate(
        entries, lambda place: prints[place].grams, duplicate_jaccard, cluster_jaccard
    )


def deduplicate(
    entries: Sequence[Entry],
    grams_at: Callable[[int], Grams],
    duplicate_jaccard: float,
    cluster_jaccard: float,
) -> Deduplication:
    """Drop duplicates and cluster what is alike.

    Args:
        entries: Any order; the result is the same.
        grams_at: Reads the grams of the document at a place.
        duplicate_jaccard: At and above it, of two documents the one with more words stays.
        cluster_jaccard: At and above it, two documents share a cluster, hence a split.
    """
    least = min(duplicate_jaccard, cluster_jaccard)
    cached = functools.lru_cache(maxsize=NUM_CACHED_GRAMS)(grams_at)
    same = _same_as(entries)
    distinct = [place for place, other in enumerate(same) if place == other]
    alike: Pairs = {}
    for pair in proposed_pairs(distinct, entries):
        similarity = jaccard(cached(pair[0]), cached(pair[1]))
        if similarity >= least:
            alike[pair] = similarity
    duplicates = _represent(entries, alike, duplicate_jaccard)
    for place, other in enumerate(same):
        if place != other:
            kept = duplicates[other].kept if other in duplicates else other
            similarity = duplicates[other].jaccard if other in duplicates else 1.0
            duplicates[place] = Duplicate(place, kept, similarity)
    equal = ((place, other) for place, other in enumerate(same) if place != other)
    return Deduplication(duplicates, _components(entries, [*alike, *equal]))


def _same_as(entries: Sequence[Entry]) -> list[int]:
    """Return, for each document, the preferred one of those with the very same grams."""
    best: dict[bytes, int] = {}
    for place, entry in enumerate(entries):
        other = best.setdefault(entry.digest, place)
        if entry.preference < entries[other].preference:
            best[entry.digest] = place
    return [best[entry.digest] for entry in entries]


def proposed_pairs(places: Sequence[int], entries: Sequence[Entry]) -> list[tuple[int, int]]:
    """Return the pairs of places whose sketches agree in at least one band, sorted."""
    if not places:
        return []
    sketches = np.stack([entries[place].sketch for place in places])
    bands = sketches.reshape(len(places), NUM_PERMUTATIONS // ROWS_PER_BAND, ROWS_PER_BAND)
    found: set[tuple[int, int]] = set()
    for number in range(bands.shape[1]):
        column = bands[:, number, :].astype(np.uint64)
        keys = (column[:, 0] << np.uint64(32)) | column[:, 1]
        order = np.argsort(keys, kind="stable")
        breaks = np.flatnonzero(np.diff(keys[order])) + 1
        for group in np.split(order, breaks):
            if len(group) > 1:
                found.update(itertools.combinations(sorted(places[n] for n in group), 2))
    return sorted(found)


def _components(entries: Sequence[Entry], pairs: Iterable[tuple[int, int]]) -> list[str]:
    """Return the cluster of each document: a hash over the ids of its connected component."""
    parent = list(range(len(entries)))

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    for left, right in pairs:
        low, high = sorted((root(left), root(right)))
        parent[high] = low
    members: dict[int, list[str]] = {}
    for place, entry in enumerate(entries):
        members.setdefault(root(place), []).append(entry.id)
    names = {place: stable_id("cluster", *sorted(ids)) for place, ids in members.items()}
    return [names[root(place)] for place in range(len(entries))]


def _represent(entries: Sequence[Entry], alike: Pairs, least: float) -> dict[int, Duplicate]:
    """Keep the richest documents first; drop each later one that resembles a kept one."""
    neighbours: dict[int, dict[int, float]] = {}
    for (left, right), similarity in alike.items():
        if similarity >= least:
            neighbours.setdefault(left, {})[right] = similarity
            neighbours.setdefault(right, {})[left] = similarity
    kept: set[int] = set()
    duplicates: dict[int, Duplicate] = {}
    for place in sorted(neighbours, key=lambda place: entries[place].preference):
        near = {other: s for other, s in neighbours[place].items() if other in kept}
        if near:
            closest = min(near, key=lambda other: (-near[other], entries[other].preference))
            duplicates[place] = Duplicate(place, closest, near[closest])
        else:
            kept.add(place)
    return duplicates
