"""An amount or a subject that the quote says of something else is refused."""

import pytest
from grounding_for_tests import reason

PRICES = "Locals pay £3 per night, tourists £5 per night; dogs stay for £1."
LENGTHS = "In 2021 the pier was 40 m long; in 2023, after the storm, it was 25 m long."
KEYS = "A red key opens box 4, a blue key box 7 and a white key box 9."
LIGHTS = "The harbour lamp burns oil; the tower lamp, by contrast, runs on gas from the town."
MODES = "The old ferries need 90 minutes for the crossing and the new ones 35 minutes."
PIERS = (
    "By 31 December 2027, every pier of the north must offer at least six berths for 20 boats or "
    "more, except those where the office has confirmed that a berth is not possible."
)
OFFICES = "The harbour office issues permits, while the customs house collects the fees."


@pytest.mark.parametrize(
    ("quote", "question", "answer", "expected"),
    [
        (PRICES, "What do locals pay per night?", "£3.", None),
        (PRICES, "What do locals pay per night?", "£5.", "misplaced"),
        (PRICES, "What do tourists pay per night?", "Tourists pay £3 per night.", "misplaced"),
        (LENGTHS, "How long was the pier in 2023?", "25 m", None),
        (LENGTHS, "How long was the pier in 2023?", "40 m", "misplaced"),
        (MODES, "How long do the new ferries need?", "35 minutes.", None),
        (MODES, "How long do the new ferries need?", "90 minutes.", "misplaced"),
        (MODES, "How long do the old ferries need?", "35 minutes.", "misplaced"),
        (
            PIERS,
            "By what date must piers of the north have the berths?",
            "By 31 December 2027.",
            None,
        ),
        (OFFICES, "Who collects the fees?", "The customs house.", None),
        (OFFICES, "Who collects the fees?", "The harbour office.", "misplaced"),
        (OFFICES, "What does the harbour office issue?", "Permits.", None),
        (OFFICES, "What does the harbour office issue?", "The fees.", "misplaced"),
        (LIGHTS, "Which lamp runs on gas from the town?", "The harbour lamp.", "misplaced"),
        (LIGHTS, "Which lamp runs on gas from the town?", "The tower lamp.", None),
    ],
)
def test_an_answer_takes_what_is_said_of_what_was_asked(quote, question, answer, expected):
    assert reason(quote, question, answer) == expected


def test_what_a_clause_shares_belongs_to_it_too():
    quote = "The ferry leaves at noon, reaches the island at 3 pm and returns at 6 pm."
    assert reason(quote, "When does the ferry return?", "At 6 pm.") is None
    assert reason(quote, "When does the ferry reach the island?", "At 6 pm.") == "misplaced"


def test_a_condition_holds_for_all_that_follows_it():
    quote = "If the appeal fails, the reduced toll of £3 no longer applies and the full £6 is due."
    question = "What is due if the appeal fails?"
    assert reason(quote, question, "The full £6.") is None
    assert reason(quote, question, "£3.") == "misplaced"


def test_an_apposition_stays_with_its_subject():
    quote = "Iceland has 90 lamps and Norway 70, although Norway's share of all lights, 24%, was highest."
    question = "Which country had the highest share?"
    assert reason(quote, question, "Norway.") is None
    assert reason(quote, question, "Iceland.") == "misplaced"


def test_nothing_is_judged_where_the_order_is_a_way_of_its_own():
    quote = "The lamp and the mast cost £5 and £9 respectively; the rope costs £2."
    assert reason(quote, "What does the mast cost?", "£9.") is None


def test_an_answer_that_only_repeats_its_question_says_nothing():
    quote = "A keeper who needs oil must tell the harbour master by noon."
    question = "Whom must a keeper who needs oil tell?"
    assert reason(quote, question, "The keeper.") == "says_nothing"
    assert reason(quote, question, "The harbour master.") is None
