"""Invented numbers: counted by value and unit against everything an answer may draw on."""

import pytest
from answers_for_tests import question

from evqa.evaluation.additional import hallucinated_number_rate
from evqa.evaluation.facts import invented_numbers

GOLDEN = [
    ("It draws 32 A at 230 V.", ["32 A", "230 V"], (0, 2)),
    ("It draws 16 A at 230 V.", ["32 A", "230 V"], (1, 2)),
    ("It charges at 7400 W.", ["7.4 kW"], (0, 1)),
    ("It charges at 7.4 kWh.", ["7.4 kW"], (1, 1)),
    ("It takes 60.", ["60 minutes"], (0, 1)),
    ("It takes 60 minutes.", ["one hour, 1 h"], (0, 1)),
    ("No number.", ["7.4 kW"], (0, 0)),
    ("", [], (0, 0)),
]


@pytest.mark.parametrize(("text", "given", "wanted"), GOLDEN)
def test_golden(text, given, wanted):
    assert invented_numbers(text, given) == wanted


def test_the_rate_is_over_all_numbers_and_null_without_any():
    questions = [question(1), question(2)]
    assert hallucinated_number_rate(questions, ["It is 1 kW.", "It is 5 kW, or 2 kW."]) == 1 / 3
    assert hallucinated_number_rate(questions, ["", "none"]) is None
