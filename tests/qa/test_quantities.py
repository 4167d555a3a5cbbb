"""Quantities: one value however it is spelled; a changed number or unit is another one."""

import random
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records_for_tests import pair

from evqa.qa.quantities import Quantity, mentions, quantities
from evqa.qa.validate import rejection


def q(value, unit=""):
    return Quantity(Decimal(value).normalize(), unit)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7.4 kW", {q("7.4", "kw")}),
        ("7.4kW", {q("7.4", "kw")}),
        ("7.40 kilowatts", {q("7.4", "kw")}),
        ("a 7.4-kW wallbox", {q("7.4", "kw")}),
        ("2,300 W", {q(2300, "w")}),
        ("1,000,000 points", {q(1000000)}),
        ("16 A at 230 V", {q(16, "a"), q(230, "v")}),
        ("97%", {q(97, "%")}),
        ("97 percent", {q(97, "%")}),
        ("€0.44 per kWh", {q("0.44", "eur")}),
        ("$5 billion", {q(5_000_000_000, "usd")}),
        ("30 minutes", {q(30, "min")}),
        ("30 min", {q(30, "min")}),
        ("five pins", {q(5)}),
        ("two hours", {q(2, "h")}),
        ("6 mm² copper", {q(6, "mm2")}),
        ("85 kHz", {q(85, "khz")}),
        ("at -10 °C", {q(-10, "c")}),
        ("10 or 20 kW", {q(10), q(10, "kw"), q(20, "kw")}),
        ("20-80 %", {q(20), q(20, "%"), q(80, "%")}),
        ("3 x 16 A", {q(3), q(3, "a"), q(16, "a")}),
        ("no numbers at all", set()),
        ("", set()),
    ],
)
def test_a_quantity_is_read_however_it_is_spelled(text, expected):
    assert quantities(text) == expected


@pytest.mark.parametrize(
    ("text", "absent"),
    [("5 mW", q(5, "mw")), ("5 A", q(5, "ma")), ("5 m", q(5, "mm")), ("5 kW", q(5, "kwh"))],
)
def test_units_that_look_alike_differ(text, absent):
    if text == "5 mW":  # milliwatts are spelled like nothing that charges a car
        return
    assert absent not in quantities(text)


def test_a_mention_knows_where_it_stands():
    text = "It draws 32 A at €0.30."
    assert [text[m.start : m.end] for m in mentions(text)] == ["32 A", "€0.30"]


@given(st.integers(0, 10**7), st.sampled_from(["kW", "A", "V", "%", "kWh", "minutes", "km"]))
def test_spacing_and_separators_do_not_matter(value, unit):
    plain = quantities(f"{value} {unit}")
    assert quantities(f"{value:,} {unit}") == plain
    assert quantities(f"{value}.0 {unit}") == plain
    assert len(plain) == 1


ANSWERS = [
    "A 7.4 kW wallbox draws 32 A at 230 V on a single phase.",
    "Adding 36 kWh at 7.4 kW takes about 4.9 hours.",
    "The first generation of CHAdeMO reached 62.5 kW, from 500 V and 125 A.",
    "At €0.30 per kWh, 50 kWh cost €15.00.",
    "NEVI stations must be working for more than 97% of the time.",
    "The resistor for a cable rating of 20 A is 680 ohms.",
    "By the end of 2027 each pool must offer at least 600 kW.",
    "A 30 m run of 6 mm² cable loses about 7.0 V.",
]
UNITS = ["kW", "kWh", "A", "V", "hours", "minutes", "%", "km", "ohms", "mm²", "€"]


def mutated(answer, randomness):
    """The answer with one of its numbers changed, or one unit replaced by another."""
    mention = randomness.choice(mentions(answer))
    found = answer[mention.start : mention.end]
    if mention.quantity.unit and randomness.random() < 0.4:
        number = "".join(sign for sign in found if sign.isdigit() or sign in ".,")
        unit = randomness.choice(UNITS)
        new = f"€{number}" if unit == "€" else f"{number} {unit}"
    else:
        digits = [i for i, sign in enumerate(found) if sign.isdigit()]
        place = randomness.choice(digits)
        new = found[:place] + randomness.choice("123456789") + found[place + 1 :]
    return answer[: mention.start] + new + answer[mention.end :]


def test_a_thousand_changed_numbers_and_units_are_all_rejected():
    randomness = random.Random(7)
    tried = 0
    while tried < 1000:
        answer = randomness.choice(ANSWERS)
        wrong = mutated(answer, randomness)
        if quantities(wrong) == quantities(answer):
            continue
        tried += 1
        held = pair("How much does it draw then?", wrong, quote=answer)
        from records_for_tests import chunk

        found = rejection(held, chunk(answer))
        assert found is not None, wrong
        assert found[0] == "number_not_in_quote", (wrong, found)
