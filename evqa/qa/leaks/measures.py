"""Quantities for comparing questions: in one unit, with the side of a bound they stand for."""

import re
from dataclasses import dataclass
from decimal import Decimal

from evqa.qa.quantities import Mention, measured, mentions

# Which currency it is says little in a question: that there is a price is enough.
_MONEY = {"eur": Decimal(1), "usd": Decimal(1), "cent": Decimal("0.01")}
# The unit that is compared → the kind of thing that a question for it asks for.
UNIT_KINDS = {
    "kw": "power",
    "kva": "power",
    "kwh": "energy",
    "a": "current",
    "v": "voltage",
    "s": "duration",
    "%": "share",
    "money": "price",
    "gbp": "price",
    "m": "distance",
    "mile": "distance",
    "hz": "frequency",
    "ohm": "resistance",
}
_MORE = r"more|above|over|higher|longer|up"
_LESS = r"less|below|under|fewer|lower"
_UP = re.compile(rf"^\W*(?:\w+ )?(?:(?:or|and) (?:{_MORE})|upwards?|plus\b|\+)", re.IGNORECASE)
_DOWN = re.compile(rf"^\W*(?:\w+ )?(?:or|and) (?:{_LESS})", re.IGNORECASE)
_ABOVE = re.compile(
    r"(?:above|over|exceed(?:s|ing)?|(?:more|hotter|warmer) than|at least|from)\W*$", re.IGNORECASE
)
_BELOW = re.compile(
    r"(?:below|under|(?:less|fewer|colder|cooler) than|at most|up to)\W*$", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Measure:
    """A quantity that a question states.

    Attributes:
        value: In the unit that its kind is compared in.
        unit: That unit; empty when none is stated.
        bound: 1: this or more; -1: this or less; 0: neither is said.
    """

    value: Decimal
    unit: str
    bound: int = 0

    def fits(self, other: "Measure") -> bool:
        """Tell whether two quantities may be one: a missing unit fits every unit."""
        return self.value == other.value and (
            self.unit == other.unit or not self.unit or not other.unit
        )


def measures(text: str) -> tuple[list[Measure], str]:
    """Return the quantities of a text whose numbers are figures, and the text without them."""
    found: list[Measure] = []
    rest, end = [], 0
    for mention in mentions(text):
        found.append(_measure(text, mention))
        rest.append(text[end : mention.start])
        end = mention.end
    return found, "#".join([*rest, text[end:]])


def _measure(text: str, mention: Mention) -> Measure:
    same = measured(mention.quantity)
    value, unit = same.value, same.unit
    if unit in _MONEY:
        value, unit = (value * _MONEY[unit]).normalize(), "money"
    return Measure(value, unit, _bound(text[: mention.start], text[mention.end :]))


def _bound(before: str, after: str) -> int:
    if _UP.search(after) or _ABOVE.search(before):
        return 1
    return -1 if _DOWN.search(after) or _BELOW.search(before) else 0
