"""Questions are reduced to what they ask, whatever the form."""

import pytest

from evqa.qa.leaks.asking import asking


@pytest.mark.parametrize(
    "question",
    [
        "What is the power of a bus?",
        "What's the power of a bus?",
        "Tell me the power of a bus.",
        "I need to know the power of a bus.",
        "Can you tell me the power of a bus?",
    ],
)
def test_an_order_asks_what_a_question_asks(question):
    asked = asking(question)
    assert asked.kinds == {"power"}
    assert asked.terms == ("power", "bus")


def test_names_proper_nouns_and_what_is_left_out_stand_apart():
    asked = asking("In Peru, what does Type 2 cost at OSLO1 without any session fee?")
    assert asked.names == {"type2", "oslo1"}
    assert "peru" in asked.proper
    assert asked.excluded == {"session", "fee"}


def test_a_rate_is_read_of_prices_only():
    assert asking("What does it cost per minute?").rates == {"min"}
    assert asking("How many cars per hour are served?").rates == frozenset()


@pytest.mark.parametrize(
    ("question", "is_negated"),
    [
        ("Which posts did not work?", True),
        ("Which posts don't work?", True),
        ("Which posts have no roof?", True),
        ("What is due for no more than 3 kW?", False),
        ("What may it not exceed?", False),
    ],
)
def test_what_is_denied(question, is_negated):
    assert asking(question).is_negated is is_negated
