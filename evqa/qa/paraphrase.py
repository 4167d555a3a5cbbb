"""Tell whether two questions ask the same thing in other words; no model, no download.

Words are reduced to what they stand for (synonyms, units, ways to ask). Two questions that ask
for different kinds of things (a power, a duration), name different numbers, or differ in a word
that turns the meaning (AC and DC, before and after) are never the same, however alike they look.
The others are compared by the cosine of their TF-IDF vectors (Salton and Buckley 1988).
"""

import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from evqa.qa.normal import STOP_WORDS, stem, words
from evqa.qa.quantities import Quantity, quantities
from evqa.qa.wordings import ASKED, OPPOSITES, PHRASES, SYNONYMS

Vector = dict[str, float]
WEIGHT_OF_PAIRS: Final = 0.35  # of two neighbouring words, beside that of each word alone
_FILLER_TEXT = """
about approximately roughly exactly altogether total usually typically normally please tell know
one two kind type sort get give take make use need require much many long far large high often
just only least most most any every each all there when then now please exact number amount value
figure way case thing people person someone let say call name mean serve happen work become
"""
_FILLER = frozenset(_FILLER_TEXT.split())


@dataclass(frozen=True, slots=True)
class Asking:
    """A question, reduced to what it asks.

    Attributes:
        kinds: What is asked for (power, duration, reason…); empty when that is not plain.
        quantities: Numbers with units that the question states.
        names: Words with digits or capitals inside: identifiers, abbreviations.
        terms: The other content words, in order, as what they stand for.
    """

    kinds: frozenset[str]
    quantities: frozenset[Quantity]
    names: frozenset[str]
    terms: tuple[str, ...]


def asking(question: str) -> Asking:
    """Return what a question asks."""
    plain = " ".join(question.replace("’", "'").split())
    kinds = frozenset(kind for kind, pattern in ASKED.items() if pattern.search(plain))
    for pattern, replacement in PHRASES:
        plain = pattern.sub(replacement, plain)
    names = frozenset(
        name.casefold().rstrip("s") for name in re.findall(r"\b[A-Za-z]*[A-Z]{2,}\w*\b", plain)
    )
    return Asking(
        kinds=kinds,
        quantities=frozenset(quantities(question)),
        names=names,
        terms=tuple(terms(plain)),
    )


def terms(text: str) -> list[str]:
    """Return the content words of a text as what they stand for, in order."""
    found = []
    for word in words(text):
        if word in STOP_WORDS or word in _FILLER:
            continue
        root = SYNONYMS.get(word) or SYNONYMS.get(stem(word)) or stem(word)
        if root and root not in _FILLER:
            found.append(root)
    return found


def conflict(left: Asking, right: Asking) -> str | None:
    """Return why two questions cannot be the same, null when nothing speaks against it."""
    if left.kinds and right.kinds and not left.kinds & right.kinds:
        return "another kind of thing is asked for"
    if _each_has_own(left.quantities, right.quantities):
        return "other numbers"
    if _each_has_own(left.names, right.names):
        return "other names"
    ours, theirs = (frozenset(asked.terms) for asked in (left, right))
    for group in OPPOSITES:
        if _each_has_own(ours & group, theirs & group):
            return "an opposite"
    return None


def _each_has_own(left: frozenset[object], right: frozenset[object]) -> bool:
    """Tell whether each side has something that the other lacks: one side may say more."""
    return bool(left - right) and bool(right - left)


class Similarity:
    """Cosine of questions by their terms, weighted by rarity among reference questions.

    Weights are ``(1 + ln tf) · (ln((1 + n) / (1 + df)) + 1)``, lengths normalised.

    Args:
        references: The questions that others are compared with.
    """

    def __init__(self, references: Iterable[Asking]) -> None:
        features = [set(_features(asked)) for asked in references]
        self._num = len(features)
        self._num_with = Counter(feature for found in features for feature in found)

    def vector(self, asked: Asking) -> Vector:
        """Return the unit vector of a question."""
        weights = {
            feature: (1 + math.log(count))
            * self._rarity(feature)
            * (WEIGHT_OF_PAIRS if " " in feature else 1.0)
            for feature, count in Counter(_features(asked)).items()
        }
        length = math.sqrt(sum(weight * weight for weight in weights.values()))
        return {feature: weight / length for feature, weight in weights.items()} if length else {}

    def _rarity(self, feature: str) -> float:
        return math.log((1 + self._num) / (1 + self._num_with[feature])) + 1


def _features(asked: Asking) -> list[str]:
    found = [*asked.terms, *(f"asks:{kind}" for kind in asked.kinds)]
    pairs = {" ".join(sorted(pair)) for pair in zip(asked.terms, asked.terms[1:], strict=False)}
    return [*found, *sorted(pairs)]


def cosine(left: Vector, right: Vector) -> float:
    """Return the cosine of two unit vectors."""
    small, large = sorted((left, right), key=len)
    return sum(weight * large.get(feature, 0.0) for feature, weight in small.items())
