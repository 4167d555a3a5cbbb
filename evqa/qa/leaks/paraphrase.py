"""What keeps two questions apart, and which words mean the same.

Two questions that ask for different kinds of things (a power, a duration), name different numbers
or things, differ in a word that turns the meaning (AC and DC, night and day), or have another word
in one place of the same sentence, are never the same, however alike they look.
"""

from collections.abc import Callable, Iterable, Sequence
from difflib import SequenceMatcher
from functools import cache
from typing import Final

from evqa.qa.leaks.asking import Asking, terms
from evqa.qa.leaks.measures import UNIT_KINDS, Measure
from evqa.qa.leaks.sought import NOTHING, may_be_one
from evqa.qa.wordings import COMMON, GENERAL, KINDS, MARKED, OPPOSITES, TURNED, senses

MIN_STEM: Final = 5  # letters that words of one family share
MIN_SHARED_STEM: Final = 0.6  # and of the longer word
MIN_FRAME: Final = 0.5  # of the words, in the same order, that make two sentences one frame
MIN_SAME_FRAME: Final = 0.75  # that make "not" the difference


def means_the_same(left: str, right: str) -> bool:
    """Tell whether two terms may stand for the same."""
    return left == right or not _senses(left).isdisjoint(_senses(right)) or _alike(left, right)


@cache
def _senses(term: str) -> frozenset[str]:
    return frozenset(senses(term))


@cache
def _alike(left: str, right: str) -> bool:
    """Tell whether two words are of one family: electric and electrician, adopt and adoption."""
    pairs = enumerate(zip(left, right, strict=False))
    shared = next((n for n, (a, b) in pairs if a != b), min(len(left), len(right)))
    return shared >= max(MIN_STEM, MIN_SHARED_STEM * max(len(left), len(right)))


def unmatched(left: Iterable[str], right: Iterable[str]) -> list[str]:
    """Return the terms of one side that nothing on the other side means."""
    others = tuple(right)
    return [term for term in left if not any(means_the_same(term, other) for other in others)]


def _matched(ours: frozenset[str], theirs: Iterable[str]) -> frozenset[str]:
    return ours - frozenset(unmatched(ours, theirs))


def conflict(left: Asking, right: Asking) -> str | None:
    """Return why two questions cannot be the same, null when nothing speaks against it."""
    return next((why for why, speaks in _CONFLICTS.items() if speaks(left, right)), None)


def missing(left: Asking, right: Asking) -> list[Measure]:
    """Return the quantities of one question that the other does not state."""
    return [m for m in left.measures if not any(m.fits(other) for other in right.measures)]


def _other_numbers(left: Asking, right: Asking) -> bool:
    return bool(missing(left, right)) and bool(missing(right, left))


def _given_away(left: Asking, right: Asking) -> bool:
    """Tell whether a question states a figure of the kind that the other asks for."""
    kinds = {UNIT_KINDS.get(measure.unit) for measure in missing(left, right)}
    return bool(kinds & right.kinds) and len(left.measures) > len(right.measures)


def _other_bound(left: Asking, right: Asking) -> bool:
    return any(
        ours.bound * theirs.bound < 0 and ours.fits(theirs)
        for ours in left.measures
        for theirs in right.measures
    )


def _other_names(left: Asking, right: Asking) -> bool:
    ours, theirs = left.names - right.names, right.names - left.names
    return bool(ours and theirs)


def _other_proper(left: Asking, right: Asking) -> bool:
    return bool(unmatched(left.proper, right.terms)) and bool(unmatched(right.proper, left.terms))


def _other_counted(left: Asking, right: Asking) -> bool:
    ours, theirs = unmatched(left.counted, right.counted), unmatched(right.counted, left.counted)
    return bool(
        left.counted
        and right.counted
        and (len(ours) == len(left.counted) or bool(set(ours) - COMMON and set(theirs) - COMMON))
    )


def _other_opposite(left: Asking, right: Asking) -> bool:
    ours, theirs = _heads(left), _heads(right)
    return any(_each_has_own(ours & group, theirs & group) for group in OPPOSITES)


def _heads(asked: Asking) -> frozenset[str]:
    return frozenset(senses(term)[0] for term in asked.terms)


def _each_has_own(left: frozenset[str], right: frozenset[str]) -> bool:
    return bool(left - right) and bool(right - left)


def _marked(left: Asking, right: Asking) -> bool:
    ours = MARKED & (_heads(left) | left.names)
    return bool(unmatched(ours, {*right.terms, *right.names}))


def _left_out(left: Asking, right: Asking) -> bool:
    return bool(left.excluded & (frozenset(right.terms) - right.spared)) or bool(
        right.excluded & (frozenset(left.terms) - left.spared)
    )


def _one_word_changed(left: Asking, right: Asking) -> bool:
    """Tell whether two sentences are built alike, but for another word in one place, or "not"."""
    matcher = SequenceMatcher(None, left.tokens, right.tokens, autojunk=False)
    ratio = matcher.ratio()
    if ratio >= MIN_SAME_FRAME and left.is_negated is not right.is_negated:
        return True
    return ratio >= MIN_FRAME and any(
        operation == "replace" and _contrast(left.tokens[a:b], right.tokens[c:d], left, right)
        for operation, a, b, c, d in matcher.get_opcodes()
    )


def _contrast(ours: Sequence[str], theirs: Sequence[str], left: Asking, right: Asking) -> bool:
    """Tell whether words in one place mean different things, none of which the rest says too."""
    if any(_each_has_own(group & set(ours), group & set(theirs)) for group in TURNED):
        return True
    asked = left.kinds | right.kinds
    first = unmatched(_telling(ours, asked), right.terms)
    second = unmatched(_telling(theirs, asked), left.terms)
    if GENERAL.issuperset(first) or GENERAL.issuperset(second):
        return False
    return not COMMON.issuperset(first + second)


def _telling(tokens: Sequence[str], asked: frozenset[str]) -> list[str]:
    """Return the terms that do not just say what kind of thing is asked for."""
    return [term for term in terms(" ".join(tokens)) if not KINDS.get(term, NOTHING) & asked]


_CONFLICTS: dict[str, Callable[[Asking, Asking], bool]] = {
    "another kind of thing is asked for": lambda a, b: not may_be_one(a.kinds, b.kinds),
    "the first states what the second asks for": _given_away,
    "other numbers": _other_numbers,
    "another side of a bound": _other_bound,
    "other names": _other_names,
    "other proper nouns": _other_proper,
    "other things are counted": _other_counted,
    "the amount of something else": lambda a, b: (
        not a.amount <= _matched(a.amount, b.terms) or not b.amount <= _matched(b.amount, a.terms)
    ),
    "another rate": lambda a, b: bool(a.rates and b.rates) and not a.rates & b.rates,
    "an opposite": _other_opposite,
    "the first is about that, too": _marked,
    "one leaves out what the other asks": _left_out,
    "one word of the sentence is another": _one_word_changed,
}
