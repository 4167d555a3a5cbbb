"""Figures are compared in one unit, with the side of the bound they stand for."""

import pytest

from evqa.qa.leaks.measures import measures


def stated(text):
    return measures(text)[0]


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("1.5 hours", "90 minutes"),
        ("1 MW", "1,000 kW"),
        ("€0.30", "30 cents"),
        ("30 mA", "0.03 A"),
        ("20 to 80%", "20% to 80%"),
    ],
)
def test_other_units_for_the_same_are_equal(left, right):
    assert all(a.fits(b) for a, b in zip(stated(left), stated(right), strict=True))


@pytest.mark.parametrize(("left", "right"), [("10 A", "16 A"), ("10 A", "10 V"), ("1 h", "1 min")])
def test_other_figures_are_not(left, right):
    assert not stated(left)[0].fits(stated(right)[0])


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("points of 50 kW or more", 1),
        ("points above 50 kW", 1),
        ("50 kW upwards", 1),
        ("points below 50 kW", -1),
        ("50 kW or less", -1),
        ("a point of 50 kW", 0),
    ],
)
def test_the_side_of_a_bound_is_read(text, bound):
    assert stated(text)[0].bound == bound


def test_figures_are_cut_out_of_the_text():
    assert measures("How many 150 kW ports?")[1] == "How many # ports?"
