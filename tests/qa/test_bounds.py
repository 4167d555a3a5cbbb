"""Bounds and rates: at least is not at most, a year is not a month."""

import pytest
from grounding_for_tests import reason

from evqa.qa.grounding.bounds import ABOUT, AT_LEAST, AT_MOST, EXACTLY, PLAIN, bounded


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("at least 5 m", AT_LEAST),
        ("no less than 5 m", AT_LEAST),
        ("5 m or more", AT_LEAST),
        ("no shallower than 5 m", AT_LEAST),
        ("more than 5 m", AT_LEAST),
        ("at most 5 m", AT_MOST),
        ("must not exceed 5 m", AT_MOST),
        ("seldom exceeds 5 m", AT_MOST),
        ("no more than 5 m", AT_MOST),
        ("as much as 5 m", AT_MOST),
        ("capped at 5 m", AT_MOST),
        ("about 5 m", ABOUT),
        ("exactly 5 m", EXACTLY),
        ("it is 5 m", PLAIN),
        ("from 4 to 9 pm", PLAIN),
        ("it fell by 5 m", PLAIN),
    ],
)
def test_a_bound_is_read_however_it_is_said(text, bound):
    assert bounded(text)[0].bound == bound


@pytest.mark.parametrize(
    ("text", "per"),
    [
        ("£195 a year", "year"),
        ("53p a day", "day"),
        ("three times a month", "month"),
        ("€0.30 per kWh", "kwh"),
        ("4 kW for each charging point", "point"),
        ("$90 annually", "year"),
        ("5 miles of range per hour", "hour"),
        ("16 A", ""),
    ],
)
def test_a_rate_is_read_however_it_is_said(text, per):
    assert bounded(text)[0].per == per


QUOTE = (
    "The mast must stand at least 3 m from the road, takes about 40 minutes to erect, is let for "
    "£12 a week and must be removed before 1 May."
)


@pytest.mark.parametrize(
    ("question", "answer", "expected"),
    [
        ("How far from the road must the mast stand?", "No less than 3 m.", None),
        ("How far from the road must the mast stand?", "At most 3 m.", "opposite"),
        ("How long does erecting the mast take?", "Around 40 minutes.", None),
        ("How long does erecting the mast take?", "At least 40 minutes.", "opposite"),
        ("How long does erecting the mast take?", "Exactly 40 minutes.", "opposite"),
        ("For how much is the mast let?", "£12 per week.", None),
        ("For how much is the mast let?", "It is let for £12 per month.", "opposite"),
        ("By when must the mast be removed?", "Before 1 May.", None),
        ("By when must the mast be removed?", "After 1 May.", "opposite"),
    ],
)
def test_an_answer_keeps_bounds_and_rates(question, answer, expected):
    assert reason(QUOTE, question, answer) == expected


def test_an_extract_may_not_cut_off_the_not_of_a_bound():
    quote = "A post in the garden is exempt if no wider than 2 m."
    assert reason(quote, "How wide may an exempt post be?", "Wider than 2 m.") == "opposite"
    assert reason(quote, "How wide may an exempt post be?", "At most 2 m.") is None
