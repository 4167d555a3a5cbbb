"""Numbers with their units, spelled one way: "7.4 kW", "7.4kW" and "7.4 kilowatts" are equal."""

import itertools
import re
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

# Canonical unit → the ways it is written. Case counts only for units of one letter.
UNITS = {
    "kw": "kW kilowatt kilowatts",
    "w": "W watt watts",
    "mw": "MW megawatt megawatts",
    "kwh": "kWh kilowatt-hour kilowatt-hours",
    "wh": "Wh watt-hour watt-hours",
    "mwh": "MWh megawatt-hour megawatt-hours",
    "gw": "GW gigawatt gigawatts",
    "gwh": "GWh gigawatt-hour gigawatt-hours",
    "twh": "TWh terawatt-hour terawatt-hours",
    "kva": "kVA",
    "a": "A amp amps ampere amperes",
    "ma": "mA milliamp milliamps milliampere milliamperes",
    "v": "V volt volts",
    "kv": "kV",
    "hz": "Hz hertz",
    "khz": "kHz kilohertz",
    "ohm": "Ω ohm ohms",
    "kohm": "kΩ",
    "s": "s sec second seconds",
    "ms": "ms millisecond milliseconds",
    "min": "min mins minute minutes",
    "h": "h hr hrs hour hours",
    "day": "day days",
    "week": "week weeks",
    "fortnight": "fortnight fortnights",
    "month": "month months",
    "year": "year years",
    "%": "% percent per-cent",
    "eur": "€ EUR euro euros",
    "usd": "$ USD dollar dollars",
    "gbp": "£ GBP",
    "cent": "¢ ct cent cents",
    "pence": "p pence penny",
    "km": "km kilometre kilometres kilometer kilometers",
    "km/h": "km/h",
    "mile": "mi mile miles",
    "m": "m metre metres meter meters",
    "mm": "mm millimetre millimetres millimeter millimeters",
    "mm2": "mm² mm2",
    "cm": "cm centimetre centimetres",
    "ft": "ft foot feet",
    "in": "inch inches",
    "kg": "kg kilogram kilograms",
    "lb": "lb lbs pound pounds",
    "g": "gram grams",
    "tonne": "tonne tonnes",
    "c": "°C",
    "f": "°F",
    "l": "litre litres liter liters",
    "million": "million",
    "billion": "billion",
}
_BY_SPELLING = {
    spelling if len(spelling) == 1 else spelling.lower(): unit
    for unit, spellings in UNITS.items()
    for spelling in spellings.split()
}
# Unit → the unit that all of its kind are compared in, and how many of these it is.
_COMPARED_IN = {
    "w": ("kw", "0.001"), "mw": ("kw", "1000"), "gw": ("kw", "1000000"),
    "wh": ("kwh", "0.001"), "mwh": ("kwh", "1000"), "gwh": ("kwh", "1000000"),
    "twh": ("kwh", "1000000000"),
    "ma": ("a", "0.001"), "kv": ("v", "1000"), "khz": ("hz", "1000"), "kohm": ("ohm", "1000"),
    "ms": ("s", "0.001"), "min": ("s", "60"), "h": ("s", "3600"),
    "day": ("s", "86400"), "week": ("s", "604800"), "fortnight": ("s", "1209600"),
    "year": ("month", "12"),
    "mm": ("m", "0.001"), "cm": ("m", "0.01"), "km": ("m", "1000"),
    "in": ("ft", "0.0833333333"), "g": ("kg", "0.001"), "tonne": ("kg", "1000"),
    "pence": ("gbp", "0.01"),
}  # fmt: skip
SCALES = {"million": 10**6, "billion": 10**9}
_COUNTED = (
    "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty"
)
_TENS = {"thirty": "30", "forty": "40", "fifty": "50", "sixty": "60", "ninety": "90"}
_MORE_TENS = {"twenty": "20", "seventy": "70", "eighty": "80"} | _TENS
_ONES = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
# "twenty-five"
_COMPOUND = {
    f"{ten}-{one}": str(int(value) + n)
    for ten, value in _MORE_TENS.items()
    for n, one in enumerate(_ONES, start=1)
}
NUMBER_WORDS = {word: str(n) for n, word in enumerate(_COUNTED.split(), start=2)} | _TENS
_SPELLED_NUMBERS = {**_COMPOUND, **NUMBER_WORDS, "seventy": "70", "eighty": "80"}
_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
_SPELLED_UNITS = "|".join(
    sorted((re.escape(s) for u in UNITS.values() for s in u.split()), key=len, reverse=True)
)
QUANTITY = re.compile(
    rf"(?P<money>[€$£])?\s?(?<![\w.])(?P<sign>[-−–](?=\d))?(?P<number>{_NUMBER}|\b(?:"
    rf"{'|'.join(_SPELLED_NUMBERS)})\b)"
    rf"(?:(?:\s|-)?(?P<unit>{_SPELLED_UNITS})(?![\w²]))?",
    re.IGNORECASE,
)
# "10 or 20 kW", "3 x 16 A", "20-80 %": the first number has the unit of the second.
SHARED_UNIT = re.compile(r"\s*(?:to|and|or|-|–|—|x|×|/|,|by|,? and|,? or)\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number and its canonical unit; an empty unit when there is none."""

    value: Decimal
    unit: str


@dataclass(frozen=True, slots=True)
class Mention:
    """A quantity where it stands in a text."""

    quantity: Quantity
    start: int
    end: int


def mentions(text: str) -> list[Mention]:
    """Return the quantities of a text in order."""
    found = []
    for match in QUANTITY.finditer(text):
        start, end = match.span()
        start += len(match[0]) - len(match[0].lstrip())
        found.append(Mention(_quantity(text, match), start, end))
    return found


def quantities(text: str) -> set[Quantity]:
    """Return the quantities that a text states.

    A number without a unit counts both alone and with the unit of the number it is listed with.
    """
    found = mentions(text)
    stated = {mention.quantity for mention in found}
    for left, right in reversed(list(itertools.pairwise(found))):
        between = text[left.end : right.start]
        if not left.quantity.unit and SHARED_UNIT.fullmatch(between):
            units = {q.unit for q in stated if q.value == right.quantity.value}
            stated |= {Quantity(left.quantity.value, unit) for unit in units}
    return stated


@lru_cache(maxsize=4096)
def measured(quantity: Quantity) -> Quantity:
    """Return a quantity in the unit that all of its kind are compared in."""
    unit, factor = _COMPARED_IN.get(quantity.unit, (quantity.unit, "1"))
    return Quantity((quantity.value * Decimal(factor)).normalize(), unit)


def _quantity(text: str, match: re.Match[str]) -> Quantity:
    number = match["number"].lower().replace(",", "")
    value = Decimal(_SPELLED_NUMBERS.get(number, number))
    before = text[match.start("sign") - 1 : match.start("sign")] if match["sign"] else ""
    if match["sign"] and (not before or before in " (~"):
        value = -value
    unit = _unit(match["unit"])
    if match["money"]:  # "$5 billion" are dollars, and many
        value *= SCALES.get(unit, 1)
        unit = _unit(match["money"])
    return Quantity(value.normalize(), unit)


def _unit(spelling: str | None) -> str:
    if not spelling or spelling == "a":  # "in 2022 a study": an article, no ampere
        return ""
    return _BY_SPELLING.get(spelling) or _BY_SPELLING.get(spelling.lower(), spelling.lower())
