"""Tell whether two questions ask the same thing in other words; no model, no download.

Words are reduced to what they stand for (synonyms, units, ways to ask). Two questions that ask
for different kinds of things (a power, a duration), name different numbers, or differ in a word
that turns the meaning (AC and DC, before and after) are never the same, however alike they look.
The others are compared by the cosine of their TF-IDF vectors (Salton and Buckley 1988).
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from evqa.qa.normal import STOP_WORDS, stem, words
from evqa.qa.quantities import Quantity, quantities
from evqa.qa.wordings import ASKED, LIGHT, MARKED, OPPOSITES, PHRASES, SYNONYMS

Vector = dict[str, float]
_COUNTED = re.compile(
    r"\b(?:how many|number of|count of|total of) "
    r"(?P<what>(?:(?!(?:do|does|did|is|are|was|were|can|could|have|has|had|must|may|should|will|would|in|on|at|for|of|per|to|there|from|with)\b)"
    r"[\w/-]+ ?){1,4})",
    re.IGNORECASE,
)
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
        counted: The terms of what is counted, when a number of things is asked for.
    """

    kinds: frozenset[str]
    quantities: frozenset[Quantity]
    names: frozenset[str]
    terms: tuple[str, ...]
    counted: frozenset[str]


def asking(question: str) -> Asking:
    """Return what a question asks."""
    plain = re.sub(r"['’]s\b", "", " ".join(question.split()))
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
        counted=_counted(plain) if "count" in kinds else frozenset(),
    )


def terms(text: str) -> list[str]:
    """Return the content words of a text as what they stand for, in order."""
    found = []
    for word in words(text):
        if word in STOP_WORDS or word in _FILLER:
            continue
        meant = SYNONYMS.get(word) or SYNONYMS.get(stem(word)) or root(word)
        if meant and meant not in _FILLER and word not in _FILLER:
            found.append(SYNONYMS.get(meant, meant))
    return found


def root(word: str) -> str:
    """Return a word without its endings: swapping, swaps and swap; adoption and adopted."""
    found = re.sub(r"(?:ations?|ions?)$", "", stem(word)) if len(word) > 8 else stem(word)
    found = re.sub(r"([bdgmnpt])\1$", r"\1", found)
    return re.sub(r"i$", "y", found).removesuffix("e") if len(found) > 3 else found


_LIGHT = LIGHT | frozenset(map(root, LIGHT))
_OPPOSITES = tuple(group | frozenset(map(root, group)) for group in OPPOSITES)


def _counted(question: str) -> frozenset[str]:
    """Return the terms of what is counted: "electric buses" of "How many electric buses does"."""
    match = _COUNTED.search(question)
    return frozenset(terms(match["what"])) if match else frozenset()


def conflict(left: Asking, right: Asking) -> str | None:
    """Return why two questions cannot be the same, null when nothing speaks against it."""
    return next((why for why, speaks in _CONFLICTS.items() if speaks(left, right)), None)


def _other_opposite(left: Asking, right: Asking) -> bool:
    ours, theirs = frozenset(left.terms), frozenset(right.terms)
    return any(_each_has_own(ours & group, theirs & group) for group in _OPPOSITES)


def _marked(left: Asking, right: Asking) -> bool:
    ours, theirs = frozenset(left.terms), frozenset(right.terms)
    return bool((ours ^ theirs | left.names ^ right.names) & MARKED)


_CONFLICTS: dict[str, Callable[[Asking, Asking], bool]] = {
    "another kind of thing is asked for": lambda a, b: (
        bool(a.kinds and b.kinds) and not a.kinds & b.kinds
    ),
    "other numbers": lambda a, b: _each_has_own(a.quantities, b.quantities),
    "other names": lambda a, b: _each_has_own(a.names, b.names),
    "other things are counted": lambda a, b: (
        bool(a.counted and b.counted) and _differ(a.counted, b.counted)
    ),
    "an opposite": _other_opposite,
    "only one of them is about that": _marked,
    "each names something else": lambda a, b: _each_has_own(
        frozenset(a.terms) - _LIGHT, frozenset(b.terms) - _LIGHT
    ),
}


def _differ(left: frozenset[str], right: frozenset[str]) -> bool:
    return not left & right or _each_has_own(left, right)


def _each_has_own(left: frozenset[Any], right: frozenset[Any]) -> bool:
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
