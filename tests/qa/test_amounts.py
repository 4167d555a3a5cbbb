"""Amounts: one amount however it is written, and none that the quote does not state."""

import pytest
from grounding_for_tests import reason

from evqa.qa.grounding.amounts import amounts, missing_amounts, stated_amounts


@pytest.mark.parametrize(
    ("answer", "quote"),
    [
        ("between 8 and 14 percent", "8% to 14%"),
        ("three to five miles", "3 to 5 miles"),
        ("0.9 m", "900 mm"),
        ("1.5 MW", "1,500 kW"),
        ("ninety minutes", "1.5 hours"),
        ("two weeks", "a fortnight"),
        ("7 days", "one week"),
        ("£0.53", "53p"),
        ("$0.16", "16 cents"),
        ("once per second", "every second"),
        ("30 minutes", "half an hour"),
        ("50%", "half of them"),
        ("90%", "nine in ten"),
        ("nine out of ten", "90%"),
        ("every two years", "every second year"),
        ("20 s", "50 seconds in slow mode and in fast mode 20."),
        ("seven days", "seven consecutive days"),
        ("twenty-five posts", "25 posts"),
        ("1 socket", "a single socket"),
        ("€1,200–2,000", "between €1,200 and €2,000"),
    ],
)
def test_one_amount_is_found_however_it_is_written(answer, quote):
    assert missing_amounts(answer, quote) == []


@pytest.mark.parametrize(
    ("answer", "quote"),
    [
        ("8 kWh", "8 kW"),
        ("between 8 and 15 percent", "8% to 14%"),
        ("0.9 m", "900 cm"),
        ("an hour", "takes 90 minutes"),
        ("for a month", "blocked for a week"),
        ("one in ten", "nine in ten"),
        ("up to a fifth", "up to a third"),
        ("$0.53", "53p"),
        ("€1,200–2,500", "between €1,200 and €2,000"),
        ("16 A to 32 kW", "16 A to 32 A"),
    ],
)
def test_other_amounts_are_missing(answer, quote):
    assert missing_amounts(answer, quote) != []


def test_words_that_are_amounts_are_read_as_such():
    (week,) = amounts("Access is blocked for a week.")
    assert (int(week.quantity.value), week.quantity.unit) == (1, "week")
    (share,) = amounts("At least a quarter of them.")
    assert (int(share.quantity.value), share.quantity.unit) == (25, "%")
    assert [m.quantity.unit for m in amounts("In 2023 it was 5 kW, in 2024 more.")] == [
        "",
        "kw",
        "",
    ]


def test_a_rate_is_no_span_of_time():
    assert [m.quantity.unit for m in amounts("£195 a year")] == ["gbp"]
    assert {q.unit for q in stated_amounts("£195 a year")} >= {"gbp"}


def test_an_answer_with_a_missing_amount_is_refused():
    quote = "The mast is 900 mm wide and carries two lamps."
    assert reason(quote, "How wide is the mast?", "0.9 m") is None
    assert reason(quote, "How wide is the mast?", "0.09 m") == "number_not_in_quote"
