"""Find duplicates: exact ones by hash, near ones by MinHash-LSH verified by true Jaccard.

Documents are compared as sets of word 8-grams. MinHash (Broder 1997) with locality-sensitive
hashing proposes pairs; each is then verified exactly, so that the sketch decides nothing. The
result depends neither on the order of the documents nor on the number of them given before.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from evqa.records import Document, stable_id
from evqa.segmentation import num_words

NGRAM_WORDS = 8
NUM_PERMUTATIONS = 128
# The sketch proposes pairs well below the threshold, so that it hardly ever misses one above.
PROPOSAL_MARGIN = 0.6


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A document that another one stands for."""

    document: Document
    kept: Document
    jaccard: float

    @property
    def reason(self) -> str:
        """The reason under which it is dropped."""
        return "exact_duplicate" if self.jaccard == 1.0 else "near_duplicate"


@dataclass(frozen=True, slots=True)
class Deduplication:
    """What is kept, what it stands for, and which documents belong together.

    Attributes:
        kept: In the order given.
        clusters: Cluster id of every document given, dropped ones included, by document id.
    """

    kept: list[Document]
    duplicates: list[Duplicate]
    clusters: dict[str, str]


def shingles(text: str) -> frozenset[int]:
    """Return the hashes of a text's word 8-grams; a shorter text is one gram."""
    words = re.findall(r"\w+", text.lower())
    size = min(NGRAM_WORDS, len(words)) or 1
    grams = (" ".join(words[index : index + size]) for index in range(len(words) - size + 1))
    return frozenset(_hash(gram) for gram in grams)


def _hash(gram: str) -> int:
    return int.from_bytes(hashlib.blake2b(gram.encode(), digest_size=8).digest(), "big")


def jaccard(left: frozenset[int], right: frozenset[int]) -> float:
    """Return the share of common grams; 1 for two empty texts."""
    union = len(left | right)
    return len(left & right) / union if union else 1.0


def deduplicate(
    documents: Sequence[Document], duplicate_jaccard: float, cluster_jaccard: float
) -> Deduplication:
    """Drop duplicates and cluster what is alike.

    Args:
        documents: Any order; the result is the same.
        duplicate_jaccard: At and above it, of two documents the one with more words stays.
        cluster_jaccard: At and above it, two documents share a cluster, hence a split.
    """
    grams = {document.id: shingles(document.text) for document in documents}
    least = min(duplicate_jaccard, cluster_jaccard)
    alike = _similar_pairs(grams, least)
    clusters = _components(grams, alike)
    kept, duplicates = _represent(documents, alike, duplicate_jaccard)
    return Deduplication(kept, duplicates, clusters)


def _similar_pairs(grams: dict[str, frozenset[int]], least: float) -> dict[tuple[str, str], float]:
    """Return the true Jaccard of every proposed pair that reaches ``least``."""
    found = {}
    for pair in _proposed_pairs(grams, least * PROPOSAL_MARGIN):
        similarity = jaccard(grams[pair[0]], grams[pair[1]])
        if similarity >= least:
            found[pair] = similarity
    return found


def _proposed_pairs(
    grams: dict[str, frozenset[int]], threshold: float
) -> Iterable[tuple[str, str]]:
    from datasketch import MinHashLSH

    index = MinHashLSH(threshold=max(threshold, 0.05), num_perm=NUM_PERMUTATIONS)
    sketches = {name: _sketch(grams[name]) for name in sorted(grams)}
    for name, sketch in sketches.items():
        yield from sorted((str(other), name) for other in index.query(sketch))
        index.insert(name, sketch)


def _sketch(grams: frozenset[int]) -> object:
    from datasketch import MinHash

    sketch = MinHash(num_perm=NUM_PERMUTATIONS, seed=1)
    sketch.update_batch([gram.to_bytes(8, "big") for gram in sorted(grams)])
    return sketch


def _components(names: Iterable[str], pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the cluster of each name: a hash over the members of its connected component."""
    parent = {name: name for name in names}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for left, right in pairs:
        first, second = sorted((root(left), root(right)))
        parent[second] = first
    members: dict[str, list[str]] = {}
    for name in sorted(parent):
        members.setdefault(root(name), []).append(name)
    return {name: stable_id("cluster", *group) for group in members.values() for name in group}


def _represent(
    documents: Sequence[Document], alike: dict[tuple[str, str], float], least: float
) -> tuple[list[Document], list[Duplicate]]:
    """Keep the richest documents first; drop each later one that resembles a kept one."""
    neighbours: dict[str, dict[str, float]] = {}
    for (left, right), similarity in alike.items():
        if similarity >= least:
            neighbours.setdefault(left, {})[right] = similarity
            neighbours.setdefault(right, {})[left] = similarity
    by_id = {document.id: document for document in documents}
    kept: set[str] = set()
    duplicates: dict[str, Duplicate] = {}
    for document in sorted(documents, key=_preference):
        near = {name: s for name, s in neighbours.get(document.id, {}).items() if name in kept}
        if near:
            closest = min(near, key=lambda name: (-near[name], name))
            duplicates[document.id] = Duplicate(document, by_id[closest], near[closest])
        else:
            kept.add(document.id)
    remaining = [document for document in documents if document.id in kept]
    return remaining, [duplicates[d.id] for d in documents if d.id in duplicates]


def _preference(document: Document) -> tuple[int, str, str]:
    return -num_words(document.text), document.source, document.id
