"""A question, reduced to what it asks, so that two can be compared.

Figures are brought to one unit, phrases to one spelling, words to their roots; the kind of thing
that is asked for, names, and what is left out ("without …") stand apart.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from evqa.qa.leaks.measures import Measure, measures
from evqa.qa.leaks.sought import amount_of, counted, sought
from evqa.qa.leaks.spelled import in_figures
from evqa.qa.normal import STOP_WORDS, words
from evqa.qa.quantities import UNITS, quantities
from evqa.qa.wordings import ASKING, JOINED, PHRASES, Phrases, root

_SPELLINGS = [spelling for line in UNITS.values() for spelling in line.split()]
_WORDS_FOR_UNITS = sorted((s for s in _SPELLINGS if s[0].isalpha() and len(s) > 1), key=len)
# "second" and "foot" are more than units.
_UNITS = frozenset(map(str.casefold, _SPELLINGS)) - {"second", "foot", "pound", "million"}
_PASSED_OVER = STOP_WORDS | ASKING | _UNITS
# AFIR, WPT1, 10BASE, stateB, TypeA
_NAME = re.compile(
    r"\b(?:[A-Za-z]*[A-Z]{2,}\w*|[A-Za-z]+\d+\w*|\w*\d[A-Z]\w*|[a-z]+[A-Z]|[A-Z][a-z]{3,}[A-Z])\b"
)
_PROPER = re.compile(r"(?<=[a-z,\d'’)] )[A-Z][a-z]\w+(?: [A-Z][a-z]\w+)*")
# "Tell me the power of …": what is the power of …
_ORDER = re.compile(
    r"\b(?:(?:please )?(?:tell|give|name|state|list|find)(?: me| us)?|"
    r"(?:i|we) (?:need|want|would like|'d like) to know|do you know|(?:can|could) you tell me)"
    r" (?=(?:the|its|all)\b)",
    re.IGNORECASE,
)
_WHAT_IS = re.compile(r"\b(what|who|when|where|how)['’]s\b", re.IGNORECASE)
_HOW = re.compile(r"\bhow \w+", re.IGNORECASE)
_RATE = re.compile(
    rf"\b(?:per|an?|each|every|single) ({'|'.join(map(re.escape, reversed(_WORDS_FOR_UNITS)))})\b"
    r"|\bper(hour|day|month|year)\b",
    re.IGNORECASE,
)
# "no more than" and "is it not" negate nothing.
_NOT = re.compile(
    r"\b(?:not(?! (?:more|less|exceed|counting|only))|no(?! (?:more|less|longer|matter))|never|"
    r"cannot|none|nobody)\b|n['’]t\b",
    re.IGNORECASE,
)
_LEFT_OUT = r"without|excluding|not counting"
_EXCLUDED = re.compile(rf"\b(?:{_LEFT_OUT})\b((?: [\w-]+){{1,4}})", re.IGNORECASE)
_SPARED = re.compile(rf"\b(?:{_LEFT_OUT}|before|other)\b((?: [\w-]+){{1,4}})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Asking:
    """A question, reduced to what it asks.

    Attributes:
        kinds: What is asked for (power, duration, reason…); empty when that is not plain.
        measures: Numbers with units that the question states.
        names: Words with digits or capitals inside: identifiers, abbreviations.
        proper: Other capitalised words that do not begin the sentence, as what they stand for.
        terms: The other words that are no stop words, in order, as roots or spelled out.
        counted: The terms of what is counted, when a number of things is asked for.
        amount: The terms of what is asked for by "how much", when it has no kind.
        is_negated: Whether it says "not", "no" or "never".
        excluded: Terms that the question leaves out ("without …").
        spared: Those, and terms that it sets apart ("before …").
        rates: Units that a price is asked for each of (kWh, minute).
        tokens: All words in order, for comparing sentences.
    """

    kinds: frozenset[str]
    measures: tuple[Measure, ...]
    names: frozenset[str]
    proper: frozenset[str]
    terms: tuple[str, ...]
    counted: frozenset[str]
    amount: frozenset[str]
    is_negated: bool
    excluded: frozenset[str]
    spared: frozenset[str]
    rates: frozenset[str]
    tokens: tuple[str, ...]


def asking(question: str) -> Asking:
    """Return what a question asks."""
    plain = _ORDER.sub("what is ", " ".join(question.split()))
    plain = _WHAT_IS.sub(r"\1 is", plain)
    plain = re.sub(r"['’]s\b", "", plain)
    stated, plain = measures(in_figures(_spelled(plain, JOINED)))
    proper = (_spelled(found, PHRASES) for found in _PROPER.findall(plain))
    plain = _spelled(plain, PHRASES)
    kinds = sought(plain)
    return Asking(
        kinds=kinds,
        measures=tuple(stated),
        names=frozenset(name.casefold().rstrip("s") for name in _NAME.findall(plain)) - _UNITS,
        proper=frozenset(term for found in proper for term in terms(found)),
        terms=tuple(terms(_HOW.sub("", plain))),
        counted=frozenset(terms(counted(plain))),
        amount=frozenset(terms(amount_of(plain))),
        is_negated=_NOT.search(plain) is not None,
        excluded=_stated(_EXCLUDED, plain),
        spared=_stated(_SPARED, plain),
        rates=frozenset(_rates(plain)) if "price" in kinds else frozenset(),
        tokens=tuple(words(plain)),
    )


def _rates(text: str) -> Iterator[str]:
    for unit, joined in _RATE.findall(text):
        yield from (found.unit for found in quantities(f"1 {unit or joined}"))


def _spelled(text: str, phrases: Phrases) -> str:
    for pattern, spelling in phrases:
        text = pattern.sub(spelling, text)
    return text


def _stated(pattern: re.Pattern[str], text: str) -> frozenset[str]:
    return frozenset(term for found in pattern.findall(text) for term in terms(found))


def terms(text: str) -> list[str]:
    """Return the roots of the words of a text that are no stop words, numbers or units."""
    return [
        root(word) for word in words(text) if word not in _PASSED_OVER and not word[0].isdigit()
    ]
