"""Key facts: by value and unit, whatever the spelling."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evqa.evaluation.facts import contains_fact, key_fact_recall, quantities

GOLDEN = [
    ("It charges at 7.4 kW.", "7.4 kW", True),
    ("It charges at 7.4kW.", "7.4 kW", True),
    ("It charges at 7400 W.", "7.4 kW", True),
    ("It charges at 7,400 watts.", "7.4 kW", True),
    ("A 7.4-kW wallbox", "7.4 kW", True),
    ("It charges at 7 kW.", "7.4 kW", False),
    ("It charges at 7.4 kWh.", "7.4 kW", False),
    ("It charges at 17.4 kW.", "7.4 kW", False),
    ("It charges at 7.45 kW.", "7.4 kW", False),
    ("It takes 90 minutes.", "1.5 hours", True),
    ("It takes 80 % of the time.", "80%", True),
    ("80 percent", "80 %", True),
    ("It costs €15.00 in all.", "15 euros", True),
    ("It costs 15.50 euros.", "15 euros", False),
    ("Use the Type 2 plug.", "Type 2", True),
    ("Use the type-2 plugs.", "Type 2", True),
    ("Use the Type 1 plug.", "Type 2", False),
    ("Two chargers", "Type 2", False),
    ("The cable is 6 mm² thick.", "6 mm2", True),
    ("The socket is a CCS2 inlet.", "CCS2", True),
    ("The socket is a CCS inlet.", "CCS2", False),
    ("Mode 3 charging", "Mode 3", True),
    ("IEC 61851-1", "IEC 61851", True),
    ("", "7.4 kW", False),
    ("three phases at 16 A", "three phases", True),
]


@pytest.mark.parametrize(("text", "fact", "wanted"), GOLDEN)
def test_golden(text, fact, wanted):
    assert contains_fact(text, fact) is wanted


@given(st.decimals(1, 9999, places=1), st.sampled_from(["kW", "V", "A", "minutes", "km", "%"]))
def test_any_other_number_or_unit_is_wrong(value, unit):
    fact = f"{value} {unit}"
    assert contains_fact(f"Up to {fact}, they say.", fact)
    assert not contains_fact(f"Up to {value + 1} {unit}, they say.", fact)
    other = "kWh" if unit != "%" else "A"
    assert not contains_fact(f"Up to {value} {other}, they say.", fact)


@given(st.text(max_size=60), st.text(max_size=20))
def test_never_fails(text, fact):
    assert contains_fact(text, fact) in (True, False)
    quantities(text)


def test_recall_is_a_share():
    assert key_fact_recall("7.4 kW by Type 2", ["7.4 kW", "Type 2"]) == 1.0
    assert key_fact_recall("7.4 kW by Type 1", ["7.4 kW", "Type 2"]) == 0.5
    assert key_fact_recall("anything", []) == 1.0
