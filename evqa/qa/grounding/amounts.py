"""Which amounts of an answer its source does not state, however either writes them.

750 mm is 0.75 m, an hour and a half is 90 minutes, half is 50 %, "between 8 and 14 %" has 8 %.
"""

import itertools
import re
from collections.abc import Iterator
from decimal import Decimal
from functools import lru_cache

from evqa.qa.quantities import SHARED_UNIT, Mention, Quantity, measured, mentions

_CURRENCIES = frozenset({"eur", "usd", "gbp"})
_RANGE = re.compile(r"\s*(?:to|-|–|—)\s*")
_SPANS = "second|minute|hour|day|week|fortnight|month|year|metre|kilometre|mile"
# Words that state an amount of the unit after them.
_WORDS = (
    (
        re.compile(
            r"\b(?:one|an?) "
            rf"(?:single |whole |full |further |calendar )?({_SPANS}|percent|km|kWh|kW|A|m)\b",
            re.IGNORECASE,
        ),
        "1",
    ),
    (re.compile(rf"\bhalf (?:an?|of an?) ({_SPANS})\b", re.IGNORECASE), "0.5"),
    (re.compile(rf"\bevery (?:second|other) ({_SPANS})\b", re.IGNORECASE), "2"),
)
_SHARES = {
    "half": "50", "halves": "50", "quarter": "25", "third": "33", "fifth": "20", "tenth": "10",
    "two thirds": "67", "three quarters": "75", "one in five": "20",
    "one in ten": "10", "one in four": "25", "one in three": "33", "one in two": "50",
}  # fmt: skip
_SHARE = re.compile(rf"\b(?:{'|'.join(sorted(_SHARES, key=len, reverse=True))})\b", re.IGNORECASE)
# "nine in ten", "7 out of 31"
_OUT_OF = re.compile(
    r"\b(?P<some>one|\d+|[a-z]+) (?:in|out of)(?: every)? (?P<all>\d+|[a-z]+)\b", re.IGNORECASE
)
_SPACED = re.compile(
    r" (?:consecutive|successive|working|business|calendar|full|whole|more|further|additional) "
    r"(?P<unit>seconds?|minutes?|hours?|days?|weeks?|months?|years?|kilometres?|miles?|metres?)\b"
)
# "up to a fifth"
_BOUND_SHARE = re.compile(
    r"\b(?:up to|at (?:least|most)|(?:more|less) than|over|under|about|around|nearly|almost|"
    r"roughly) "
    r"(?P<amount>(?:an? |one )?(?P<share>half|third|quarter|fifth|tenth))\b"
    rf"(?! (?:an? |of an? )?(?:{_SPANS})\b)",
    re.IGNORECASE,
)
_BARE = re.compile(r"[\d.,]+")
_ELIDED = re.compile(r"\s*(?:[,.;)]|$|and\b|but\b)")
_DATED = re.compile(
    r"(?:\b(?:in|since|until|by|before|after|from|to|of|[A-Z][a-z]+|remaining|other|#)|[-–:.]) ?$"
)
_AN_AMOUNT = re.compile(
    r"(?:^|\b(?:for|within|in|after|before|than|to|takes?|about|around|least|most|over|under|by|"
    r"lasting|lasts?|needs?|until)\s)"
    rf"(?P<amount>(?P<half>half )?(?:an?|one) (?P<unit>{_SPANS}))\b",
    re.IGNORECASE,
)
_ROUND = {*range(2, 21), 50, 100, 1000}
_ONE = re.compile(r"\b(?:one|single|once)\b", re.IGNORECASE)


def same_amounts(one: Quantity, other: Quantity) -> bool:
    """Tell whether two quantities are one amount: 750 mm and 0.75 m."""
    return one == other or measured(one) == measured(other)


@lru_cache(maxsize=512)
def amounts(text: str) -> tuple[Mention, ...]:
    """Return the quantities of a text in order, with those that words state or leave out.

    "For a week" is one week, and "50 seconds in slow mode and in fast mode 20" has 20 seconds.
    """
    found: list[Mention] = []
    before = ""
    shared = list(_shares_of(text))
    for mention in mentions(text):
        if any(one.start <= mention.start < one.end for one in shared):
            continue
        unit = mention.quantity.unit or _unit_left_out(text, mention, before)
        found.append(Mention(Quantity(mention.quantity.value, unit), mention.start, mention.end))
        before = unit or before
    for match in _AN_AMOUNT.finditer(text):
        value = "0.5" if match["half"] else "1"
        stated = mentions(f"{value} {match['unit']}")[0].quantity
        found.append(Mention(stated, match.start("amount"), match.end("amount")))
    for match in _BOUND_SHARE.finditer(text):
        share = Quantity(Decimal(_SHARES[match["share"].lower()]).normalize(), "%")
        found.append(Mention(share, match.start("amount"), match.end("amount")))
    return tuple(sorted([*found, *shared], key=lambda mention: mention.start))


def _unit_left_out(text: str, mention: Mention, before: str) -> str:
    """Return the unit that a bare number has: of "seven consecutive days", or the one before."""
    after = text[mention.end :]
    if spaced := _SPACED.match(after):
        return mentions(f"1 {spaced['unit']}")[0].quantity.unit
    is_dated = _DATED.search(text[: mention.start])
    return before if _ELIDED.match(after) and not is_dated else ""


def missing_amounts(answer: str, quote: str) -> list[Quantity]:
    """Return what an answer states and its quote does not, smallest first."""
    said = stated_amounts(quote)
    missing = [
        mention.quantity
        for mention, readings in _readings(answer)
        if not any(measured(reading) in said for reading in readings)
    ]
    return sorted(missing, key=lambda quantity: (quantity.value, quantity.unit))


@lru_cache(maxsize=512)
def stated_amounts(text: str) -> frozenset[Quantity]:
    """Return the amounts of a text in the units that they are compared in, in every reading."""
    said = {measured(one) for _, readings in _readings(text) for one in readings}
    ends = {mention.end for mention in mentions(text)}
    for pattern, value in _WORDS:
        for match in pattern.finditer(text):
            is_rate = {match.start() - 1, match.start() + 1} & ends  # "€0.50 a minute"
            stated = () if is_rate else mentions(f"{value} {match[1]}")
            said |= {measured(one.quantity) for one in stated}
    said |= {Quantity(Decimal(_SHARES[word]), "%") for word in shares(text)}
    said |= {measured(mention.quantity) for mention in mentions(text)}
    if _ONE.search(text):
        said.add(Quantity(Decimal(1), ""))
    return frozenset(said)


def counted_units(answer: str, quote: str) -> set[str]:
    """Return the units that an answer counts by in words ("a year") as its quote may in others."""
    said = stated_amounts(quote)
    return {
        match[1].lower()
        for pattern, value in _WORDS
        for match in pattern.finditer(answer)
        if any(measured(one.quantity) in said for one in mentions(f"{value} {match[1]}"))
    }


def _shares_of(text: str) -> Iterator[Mention]:
    """Yield the shares that "nine in ten" and its like state, in per cent."""
    for match in _OUT_OF.finditer(text):
        some, every = (_counted(match[name]) for name in ("some", "all"))
        if some and every and some < every and every in _ROUND:  # not "67 in 2023"
            share = Quantity((100 * some / every).quantize(Decimal(1)).normalize(), "%")
            yield Mention(share, match.start(), match.end())


def _counted(word: str) -> Decimal | None:
    if word.lower() == "one":
        return Decimal(1)
    found = mentions(word)
    return found[0].quantity.value if len(found) == 1 and not found[0].quantity.unit else None


def shares(text: str) -> list[str]:
    """Return the words of a text that state a share: half, a quarter, one in five."""
    return [match[0].lower() for match in _SHARE.finditer(text)]


Readings = list[tuple[Mention, tuple[Quantity, ...]]]


def _readings(text: str) -> Readings:
    """Return each mention with what it may state: a number may share the next one's unit."""
    read: Readings = []
    following: Mention | None = None
    shared = ""
    for mention in reversed(amounts(text)):
        quantity = mention.quantity
        is_listed = following is not None and bool(
            SHARED_UNIT.fullmatch(text[mention.end : following.start])
        )
        shared = quantity.unit or (shared if is_listed else "")
        with_shared = Quantity(quantity.value, shared)
        is_bare = _BARE.fullmatch(text[mention.start : mention.end])
        alone = Quantity(quantity.value, "") if is_bare else quantity
        read.append((mention, (quantity, alone, with_shared, *_money(quantity))))
        following = mention
    return _with_leading_currency(text, read[::-1])


def _with_leading_currency(text: str, read: Readings) -> Readings:
    """Add what the end of a range may state whose currency stands at its beginning: "€2–3"."""
    found = read[:1]
    for (begin, _), (mention, known) in itertools.pairwise(read):
        is_end = _RANGE.fullmatch(text[begin.end : mention.start])
        more: tuple[Quantity, ...] = ()
        if is_end and not mention.quantity.unit and begin.quantity.unit in _CURRENCIES:
            more = (Quantity(mention.quantity.value, begin.quantity.unit),)
        found.append((mention, (*known, *more)))
    return found


def _money(quantity: Quantity) -> tuple[Quantity, ...]:
    """Return what else an amount of money may be written as: pounds, cents."""
    if quantity.unit == "lb":
        return (Quantity(quantity.value, "gbp"),)
    if quantity.unit == "cent":
        value = (quantity.value / 100).normalize()
        return (Quantity(value, "usd"), Quantity(value, "eur"))
    return ()
