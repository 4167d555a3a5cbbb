"""Opposites of the quote's words, and words that it lacks, are refused; synonyms pass."""

import pytest
from grounding_for_tests import reason

QUOTE = (
    "When the tide falls the keeper lowers the red flag, locks the iron gate and departs by boat "
    "before the storm begins."
)
ASKED = "What does the keeper do when the tide falls?"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("The keeper locks the iron gate and leaves by boat.", None),
        ("The keeper unlocks the iron gate.", "opposite"),
        ("The keeper raises the red flag.", "opposite"),
        ("The keeper lowers the green flag.", "opposite"),
        ("The keeper departs by boat after the storm begins.", "opposite"),
        ("The keeper departs by boat before the storm starts.", None),
        ("The keeper departs by boat before the storm ends.", "opposite"),
        ("The keeper locks the iron chest.", "word_not_in_quote"),
        ("The sergeant locks the iron gate.", "word_not_in_quote"),
        ("The keeper quickly locks the iron gate.", None),
    ],
)
def test_words_of_an_answer_come_from_somewhere(answer, expected):
    assert reason(QUOTE, ASKED, answer) == expected


def test_a_word_that_stands_elsewhere_is_judged_where_it_belongs():
    quote = "The first lamp was lit before 1815, and the last one was sold in 1921."
    question = "When was the last lamp sold?"
    assert reason(quote, question, "The first lamp was sold in 1921.") == "opposite"
    assert reason(quote, question, "The last lamp was sold in 1921.") is None


def test_fewer_and_less_are_no_opposites():
    quote = "The path suits walkers who cover fewer than 40 miles a day."
    question = "Whom does the path suit?"
    assert reason(quote, question, "Walkers who cover less than 40 miles a day.") is None
    assert reason(quote, question, "Walkers who cover more than 40 miles a day.") == "opposite"


def test_a_word_from_around_the_quote_may_be_added_but_not_exchanged():
    around = " The chest is made of oak. Painted in yellow, it stands in the tower."
    added = "When the tide falls the keeper of the tower lowers the red flag."
    assert reason(QUOTE, ASKED, added, around) is None
    assert reason(QUOTE, ASKED, "The keeper locks the iron chest.", around) == "word_not_in_quote"


@pytest.mark.parametrize(
    ("quote", "answer", "expected"),
    [
        ("The rope should be fully unwound.", "It should be fully wound.", "opposite"),
        ("Access is for registered keepers.", "It is for unregistered keepers.", "opposite"),
        ("The oil fee is refundable.", "The oil fee is non-refundable.", "opposite"),
    ],
)
def test_a_prefix_makes_an_opposite(quote, answer, expected):
    assert reason(quote, "What does the notice say there?", answer) == expected
