"""Texts as sets of word 8-grams, and the sketches by which alike ones are found.

A gram is a 64-bit number: a polynomial over the hashes of its words (Karp and Rabin 1987), so
that all grams of a text come from one pass of numpy. Sketches are MinHash (Broder 1997).
"""

import functools
import hashlib
import re
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from evqa.segmentation import num_words

NGRAM_WORDS = 8
NUM_PERMUTATIONS = 128
_BASE: Final = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no word's hash is lost modulo 2^64
_LOW_BITS: Final = np.uint64(0xFFFFFFFF)

Grams = npt.NDArray[np.uint64]
Sketch = npt.NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What deduplication needs of a text.

    Attributes:
        grams: Sorted, each once.
        sketch: MinHash values.
        digest: Of the grams: equal for equal ones.
        num_words: Of the text.
    """

    grams: Grams
    sketch: Sketch
    digest: bytes
    num_words: int


@functools.lru_cache(maxsize=1 << 16)
def _word_hash(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "big")


def shingles(text: str) -> Grams:
    """Return the sorted word 8-grams of a text; a shorter text is one gram, a blank one none."""
    words = re.findall(r"\w+", text.lower())
    if not words:
        return np.empty(0, np.uint64)
    hashes = np.array([_word_hash(word) for word in words], np.uint64)
    size = min(NGRAM_WORDS, len(words))
    grams = np.zeros(len(words) - size + 1, np.uint64)
    for place in range(size):
        grams = grams * _BASE + hashes[place : place + len(grams)]
    # The bits are mixed once more: the sketch looks at the low ones.
    grams = (grams ^ (grams >> np.uint64(29))) * _BASE
    return np.unique(grams ^ (grams >> np.uint64(32)))


def jaccard(left: Grams, right: Grams) -> float:
    """Return the share of common grams; 1 for two empty texts."""
    common = np.intersect1d(left, right, assume_unique=True).size
    union = left.size + right.size - common
    return common / union if union else 1.0


def sketch_of(grams: Grams) -> Sketch:
    """Return the MinHash values of a set of grams."""
    sketch = _empty_sketch().copy()
    if grams.size:
        sketch.update_batch((grams & _LOW_BITS).tolist())
    return np.asarray(sketch.hashvalues, np.uint32)


@functools.cache
def _empty_sketch() -> Any:
    from datasketch import MinHash

    return MinHash(num_perm=NUM_PERMUTATIONS, seed=1, hashfunc=int)


def fingerprint(text: str) -> Fingerprint:
    """Return the fingerprint of a text."""
    grams = shingles(text)
    digest = hashlib.blake2b(grams.tobytes(), digest_size=16).digest()
    return Fingerprint(grams, sketch_of(grams), digest, num_words(text))
