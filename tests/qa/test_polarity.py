"""A "not" is kept, clause by clause."""

import pytest
from grounding_for_tests import reason

FERRY = "Dogs may travel on deck with no extra fee, but cats are not allowed on board."
DOOR = "Never open the hatch yourself; a keeper has to inspect it first."
CLUB = "Neither guests nor children need a ticket, so the gate stays open at night."
TAX = "Prices include the toll but not any harbour dues that the town collects."


@pytest.mark.parametrize(
    ("quote", "question", "answer", "expected"),
    [
        (FERRY, "Are cats allowed on board?", "Cats are allowed on board.", "negation"),
        (FERRY, "Are cats allowed on board?", "Yes.", "negation"),
        (FERRY, "Are cats allowed on board?", "No, they aren't allowed.", None),
        (FERRY, "May dogs travel on deck?", "Dogs may not travel on deck.", "negation"),
        (FERRY, "May dogs travel on deck?", "Yes, they may travel on deck.", None),
        (FERRY, "Which animals are banned from boarding?", "Cats are not allowed.", None),
        (DOOR, "What should be done with the hatch?", "Open the hatch yourself.", "negation"),
        (CLUB, "What do guests need?", "Guests and children need a ticket.", "negation"),
        (CLUB, "What do guests not need?", "A ticket.", None),
        (TAX, "Are harbour dues part of the price?", "Prices include the toll and harbour dues that the town collects.", "negation"),
    ],
)  # fmt: skip
def test_a_not_is_kept(quote, question, answer, expected):
    assert reason(quote, question, answer) == expected


def test_a_word_that_means_not_makes_up_for_it():
    quote = "Ropes must not be stored within 3 m of the stove."
    question = "Within what distance of the stove are ropes forbidden?"
    assert reason(quote, question, "Within 3 m.") is None


def test_what_is_only_denied_is_not_said():
    quote = "Insurers refuse claims for work that was not done by a licensed rigger."
    question = "Which claims do insurers refuse?"
    assert reason(quote, question, "Claims for work done by a licensed rigger.") == "negation"
    assert reason(quote, question, "Claims for work not done by a licensed rigger.") is None


def test_without_denies_what_stands_after_it():
    quote = "Lamps have burned on the coast without any repairs since 1890."
    question = "How have the lamps burned since 1890?"
    assert reason(quote, question, "Without any repairs.") is None
    assert reason(quote, question, "With repairs.") == "opposite"
