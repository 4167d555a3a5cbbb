"""Which training pairs are nearest to an answer: by the words that they share, the rare most.

Cosine of TF-IDF vectors (Salton & Buckley 1988, doi:10.1016/0306-4573(88)90021-0). Near is not
cause: a network does not say where it has something from.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from evqa.records import QAPair

WORD = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+")


@dataclass(frozen=True, slots=True)
class Near:
    """A training pair and its similarity, 0 to 1."""

    pair: QAPair
    similarity: float


def nearest_pairs(text: str, pairs: Sequence[QAPair], count: int) -> list[Near]:
    """Return the ``count`` pairs nearest to a text, nearest first, none that shares no word.

    Several pairs of one quote count once: the nearest of them is kept.
    """
    documents = [Counter(words(f"{pair.question} {pair.answer}")) for pair in pairs]
    rarity = _rarity(documents)
    wanted = _weigh(Counter(words(text)), rarity)
    scored = [
        Near(pair, _cosine(wanted, _weigh(document, rarity)))
        for pair, document in zip(pairs, documents, strict=True)
    ]
    found: dict[tuple[str | None, str], Near] = {}
    for near in sorted(scored, key=lambda near: (-near.similarity, near.pair.id)):
        if near.similarity > 0:
            found.setdefault((near.pair.chunk_id, near.pair.quote or near.pair.id), near)
    return list(found.values())[:count]


def words(text: str) -> list[str]:
    """Return a text's words and numbers in lower case; "7.4" is one, "kW" another."""
    return WORD.findall(text.casefold())


def _rarity(documents: Sequence[Counter[str]]) -> dict[str, float]:
    seen = Counter(word for document in documents for word in document)
    return {word: math.log(1 + len(documents) / count) for word, count in seen.items()}


def _weigh(document: Counter[str], rarity: dict[str, float]) -> dict[str, float]:
    return {
        word: (1 + math.log(count)) * rarity[word]
        for word, count in document.items()
        if word in rarity
    }


def _cosine(one: dict[str, float], other: dict[str, float]) -> float:
    lengths = math.hypot(*one.values()) * math.hypot(*other.values())
    if not lengths:
        return 0.0
    return sum(weight * other.get(word, 0.0) for word, weight in one.items()) / lengths
