"""Key facts: does an answer contain the numbers with units, and the terms, that it must?

Numbers are compared by value in a base unit ("7.4 kW" = "7400 W" = "7.4kW"); another number, or
the same number with another unit, is wrong. Terms are compared as words without case, accents of
spelling (hyphens, plural s) ignored.
"""

import re
import unicodedata
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

# unit → (base unit, factor); longest spelling first in the pattern below
UNITS: dict[str, tuple[str, str]] = {
    "mw": ("w", "1000000"), "kw": ("w", "1000"), "w": ("w", "1"),
    "kilowatts": ("w", "1000"), "kilowatt": ("w", "1000"), "watts": ("w", "1"),
    "mwh": ("wh", "1000000"), "kwh": ("wh", "1000"), "wh": ("wh", "1"),
    "kilowatt-hours": ("wh", "1000"), "kilowatt-hour": ("wh", "1000"),
    "kv": ("v", "1000"), "v": ("v", "1"), "volts": ("v", "1"), "volt": ("v", "1"),
    "ka": ("a", "1000"), "ma": ("a", "0.001"), "a": ("a", "1"), "amps": ("a", "1"),
    "amperes": ("a", "1"), "ampere": ("a", "1"), "amp": ("a", "1"),
    "minutes": ("s", "60"), "minute": ("s", "60"), "min": ("s", "60"),
    "hours": ("s", "3600"), "hour": ("s", "3600"), "h": ("s", "3600"),
    "seconds": ("s", "1"), "second": ("s", "1"), "s": ("s", "1"),
    "km": ("m", "1000"), "kilometres": ("m", "1000"), "metres": ("m", "1"), "metre": ("m", "1"),
    "m": ("m", "1"), "cm": ("m", "0.01"), "mm": ("m", "0.001"),
    "mm2": ("mm2", "1"), "mm²": ("mm2", "1"), "hz": ("hz", "1"), "khz": ("hz", "1000"),
    "%": ("%", "1"), "percent": ("%", "1"), "per cent": ("%", "1"),
    "€": ("eur", "1"), "eur": ("eur", "1"), "euros": ("eur", "1"), "euro": ("eur", "1"),
    "$": ("usd", "1"), "usd": ("usd", "1"), "dollars": ("usd", "1"), "£": ("gbp", "1"),
    "°c": ("°c", "1"), "kg": ("kg", "1"), "miles": ("mile", "1"), "mile": ("mile", "1"),
}  # fmt: skip
_UNIT = "|".join(re.escape(unit) for unit in sorted(UNITS, key=len, reverse=True))
_QUANTITY = re.compile(
    rf"(?P<before>[€$£])?\s?(?<![\w.])(?P<number>\d[\d,]*(?:\.\d+)?)"
    rf"(?:[\s-]?(?P<unit>{_UNIT})(?![\w²]))?",
    re.IGNORECASE,
)


class Quantity(NamedTuple):
    """A number of a text.

    Attributes:
        value: In the base unit.
        unit: The base unit; empty when the number has none.
        written: The number as it is written, whatever its unit.
    """

    value: Decimal
    unit: str
    written: Decimal

    def stands_for(self, other: "Quantity") -> bool:
        """Tell whether it is the other number; without a unit of its own, as that is written."""
        if not self.unit:
            return self.written == other.written
        return (self.value, self.unit) == (other.value, other.unit)


def normalise(text: str) -> str:
    """Return the text in NFKC, lower case, with one space between words."""
    plain = unicodedata.normalize("NFKC", text.replace("²", "2")).casefold()
    return " ".join(plain.replace("\u2011", "-").replace("\u2013", "-").split())


def quantities(text: str) -> list[Quantity]:
    """Return the numbers of a text."""
    found = []
    for match in _QUANTITY.finditer(normalise(text)):
        try:
            value = Decimal(match["number"].replace(",", ""))
        except InvalidOperation:
            continue
        unit = match["unit"] or match["before"]
        base, factor = UNITS[unit] if unit else ("", "1")
        found.append(Quantity((value * Decimal(factor)).normalize(), base, value))
    return found


def _words(text: str) -> list[str]:
    words = re.findall(r"[a-z0-9€$£%°.]+", normalise(text).replace("-", " "))
    stripped = (word.strip(".") for word in words)
    return [w[:-1] if len(w) > 3 and w.endswith("s") else w for w in stripped if w]


def contains_fact(text: str, fact: str) -> bool:
    """Tell whether a text contains a key fact.

    A fact that holds a number must be matched by value and unit; the words around the number
    must stand in the text too.
    """
    wanted = quantities(fact)
    given = quantities(text)
    if not all(any(number.stands_for(other) for other in given) for number in wanted):
        return False
    rest = _words(_QUANTITY.sub(" ", normalise(fact))) if wanted else _words(fact)
    words = _words(text)
    return not rest or any(
        words[start : start + len(rest)] == rest for start in range(len(words) - len(rest) + 1)
    )


def key_fact_recall(text: str, facts: list[str]) -> float:
    """Return the share of the key facts that a text contains; 1.0 when there is none."""
    if not facts:
        return 1.0
    return sum(contains_fact(text, fact) for fact in facts) / len(facts)


def invented_numbers(text: str, given: list[str]) -> tuple[int, int]:
    """Count the numbers of an answer, and those that stand in none of the texts it may draw on.

    Args:
        text: The answer.
        given: The question, the reference and its alternatives, the key facts.

    Returns:
        (invented, all); a number counts as given when value and unit stand in ``given``, or when
        it is written without a unit and its value does.
    """
    allowed = [quantity for source in given for quantity in quantities(source)]
    found = quantities(text)
    known = sum(any(number.stands_for(other) for other in allowed) for number in found)
    return len(found) - known, len(found)
