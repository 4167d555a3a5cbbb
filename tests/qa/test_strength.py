"""An answer may not claim more than its quote."""

import pytest
from grounding_for_tests import reason

RULES = (
    "Most keepers usually trim the wick at dawn and may use a steel brush; the guild recommends "
    "goggles. Masts can lose up to half of their paint in a storm."
)


@pytest.mark.parametrize(
    ("question", "answer", "expected"),
    [
        ("Who trims the wick at dawn?", "Most keepers trim it at dawn.", None),
        ("Who trims the wick at dawn?", "All keepers trim the wick at dawn.", "overstated"),
        ("When do keepers trim the wick?", "Keepers always trim the wick at dawn.", "overstated"),
        ("What may keepers use?", "They may use a steel brush.", None),
        ("What may keepers use?", "Keepers must use a steel brush.", "overstated"),
        ("What may keepers use?", "They may solely use a steel brush.", "overstated"),
        ("What does the guild recommend?", "The guild requires goggles.", "overstated"),
        ("What does the guild recommend?", "It recommends goggles.", None),
    ],
)
def test_a_claim_is_no_stronger_than_the_quote(question, answer, expected):
    assert reason(RULES, question, answer) == expected


def test_a_must_elsewhere_in_the_quote_is_none_here():
    quote = "Keepers may sleep in the tower, but sailors must leave it at dusk."
    question = "What may keepers do in the tower?"
    assert reason(quote, question, "Keepers must sleep in the tower.") == "overstated"


def test_a_multiple_is_not_left_out():
    quote = "Night calls are billed at 1.5 times the normal rate."
    question = "How are night calls billed?"
    assert reason(quote, question, "At the normal rate.") == "overstated"
    assert reason(quote, question, "At 1.5 times the normal rate.") is None


def test_what_can_be_is_not_said_as_a_rule():
    quote = "In a storm the mast can lose up to half of its paint."
    question = "How does a storm affect the mast?"
    assert (
        reason(quote, question, "The mast loses half of its paint; it shrinks by half.")
        is not None
    )
    assert reason(quote, question, "The mast can lose up to half of its paint.") is None
