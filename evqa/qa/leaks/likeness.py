"""How likely two questions ask the same, by what they share and what each says alone.

Words weigh more the rarer they are among the reference questions (inverse document frequency,
Spärck Jones 1972), general words of English little; figures and the kind of thing asked for count
beside them. Two questions with the same figures and names are one with little wording in common.
The evidence is added up as in a logistic regression; `WEIGHTS` were fitted to labelled questions
(``benchmarks/paraphrase_weights.py``).
"""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, fields
from operator import attrgetter, mul
from typing import Final

from evqa.qa.leaks.asking import Asking
from evqa.qa.leaks.paraphrase import missing, unmatched
from evqa.qa.wordings import COMMON, senses

OF_COMMON: Final = 0.25  # weight of a general word beside its rarity
OF_UNKNOWN: Final = 0.6  # of a word that no reference has, beside the rarest
OF_NAME: Final = 2.0  # of a name, beside its rarity
OF_MEASURE: Final = 2.5
OF_KIND: Final = 2.0
MAX_STRONG: Final = 20.0  # more rare words than that say no more
MAX_SHARED: Final = 20.0
MAX_MEASURES: Final = 3


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for and against two questions being one.

    Attributes:
        likeness: Share of what is said that both say.
        shared: Weight of what both say.
        left_alone: Share of the first question that only it says.
        right_alone: Share of the second question that only it says.
        left_rare: Weight of words of the first that are neither general nor in the second.
        right_rare: The same for the second.
        both_rare: The smaller of the two: each has words of its own.
        same_kind: 1 when both plainly ask for the same kind of thing.
        left_measures: Figures that only the first states.
        right_measures: Figures that only the second states.
        same_measures: Figures that both state.
    """

    likeness: float
    shared: float
    left_alone: float
    right_alone: float
    left_rare: float
    right_rare: float
    both_rare: float
    same_kind: float
    left_measures: float
    right_measures: float
    same_measures: float


NAMES: Final = tuple(field.name for field in fields(Evidence))
values = attrgetter(*NAMES)
BIAS: Final = -1.31
WEIGHTS: Final = values(
    Evidence(
        likeness=2.39,
        shared=1.21,
        left_alone=-2.92,
        right_alone=-1.68,
        left_rare=-2.40,
        right_rare=-1.33,
        both_rare=-0.94,
        same_kind=0.64,
        left_measures=-1.95,
        right_measures=-1.28,
        same_measures=2.05,
    )
)


class Likeness:
    """Compares questions; words are weighted by rarity among reference questions.

    Args:
        references: The questions that others are compared with.
    """

    def __init__(self, references: Iterable[Asking]) -> None:
        found = [{sense for term in asked.terms for sense in senses(term)} for asked in references]
        self._num = len(found)
        self._num_with = Counter(sense for heads in found for sense in heads)
        self._weights: dict[str, float] = {}

    def weight(self, term: str) -> float:
        """Return how much a term says."""
        if term not in self._weights:
            num_with = max(self._num_with[sense] for sense in senses(term))
            rarity = math.log((1 + self._num) / (1 + num_with)) + 1
            unknown = OF_UNKNOWN if num_with == 0 else 1.0
            self._weights[term] = rarity * unknown * (OF_COMMON if term in COMMON else 1.0)
        return self._weights[term]

    def score(self, left: Asking, right: Asking) -> float:
        """Return how likely two questions are one, 0 to 1."""
        total = BIAS + sum(map(mul, WEIGHTS, values(self.evidence(left, right))))
        return 1 / (1 + math.exp(-total))

    def evidence(self, left: Asking, right: Asking) -> Evidence:
        """Return what speaks for and against two questions being one."""
        ours, theirs = frozenset(left.terms), frozenset(right.terms)
        own, other = frozenset(unmatched(ours, theirs)), frozenset(unmatched(theirs, ours))
        lost, gained = len(missing(left, right)), len(missing(right, left))
        same_measures = len(left.measures) - lost
        same_kind = bool(left.kinds & right.kinds)
        shared = (self._said(ours - own, left) + self._said(theirs - other, right)) / 2
        shared += OF_MEASURE * same_measures + OF_KIND * same_kind
        first = self._said(own, left) + OF_MEASURE * lost
        second = self._said(other, right) + OF_MEASURE * gained
        if not same_kind:
            first, second = first + _kind(left), second + _kind(right)
        rare, others_rare = self._rare(own), self._rare(other)
        return Evidence(
            likeness=_part(2 * shared, first + second),
            shared=min(shared, MAX_SHARED) / MAX_SHARED,
            left_alone=_part(first, shared),
            right_alone=_part(second, shared),
            left_rare=rare,
            right_rare=others_rare,
            both_rare=min(rare, others_rare),
            same_kind=float(same_kind),
            left_measures=float(lost),
            right_measures=float(gained),
            same_measures=float(min(same_measures, MAX_MEASURES)),
        )

    def _said(self, terms: Iterable[str], asked: Asking) -> float:
        special = asked.names | asked.proper
        return sum(self.weight(term) * (OF_NAME if term in special else 1.0) for term in terms)

    def _rare(self, terms: Iterable[str]) -> float:
        total = sum(self.weight(term) for term in terms if term not in COMMON)
        return min(total, MAX_STRONG) / MAX_STRONG


def _kind(asked: Asking) -> float:
    return OF_KIND if asked.kinds else 0.0


def _part(part: float, rest: float) -> float:
    return part / (part + rest) if part else 0.0
