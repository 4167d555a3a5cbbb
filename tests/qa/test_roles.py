"""The two sides of a relation may not be exchanged."""

import pytest
from grounding_for_tests import reason


@pytest.mark.parametrize(
    ("quote", "question", "answer", "expected"),
    [
        (
            "The mill turns grain into flour for the town.",
            "What does the mill do?",
            "It turns flour into grain.",
            "misplaced",
        ),
        (
            "The mill turns grain into flour for the town.",
            "What does the mill do?",
            "It converts grain into flour.",
            None,
        ),
        (
            "In a storm lamp A burned longer than B.",
            "Which lamp burned longer in a storm?",
            "B burned longer than A.",
            "misplaced",
        ),
        (
            "In a storm lamp A burned longer than B.",
            "Which lamp burned longer in a storm?",
            "A burned longer than B.",
            None,
        ),
        (
            "An oil lamp uses twice as much fuel as a gas lamp.",
            "How much fuel do the lamps use?",
            "A gas lamp uses twice as much fuel as an oil lamp.",
            "misplaced",
        ),
        (
            "The keeper may refuse a sailor's request.",
            "Who may refuse a request?",
            "The sailor may refuse the keeper's request.",
            "misplaced",
        ),
        (
            "The toll rose from £4 to £7 a year ago.",
            "How did the toll change?",
            "It rose from £7 to £4.",
            "misplaced",
        ),
        (
            "Have a smith mend the lock before you use the gate again.",
            "When may the gate be used again?",
            "Before a smith mends the lock.",
            "misplaced",
        ),
        (
            "The guild pays the keepers and insures the lamps against storms.",
            "What does the guild insure?",
            "The keepers against storms.",
            "misplaced",
        ),
        (
            "The guild pays the keepers and insures the lamps against storms.",
            "What does the guild insure?",
            "The lamps against storms.",
            None,
        ),
    ],
)
def test_sides_stay_where_they_are(quote, question, answer, expected):
    assert reason(quote, question, answer) == expected


def test_a_passive_says_the_same_the_other_way_round():
    quote = "The keeper lights the lamp at dusk."
    assert reason(quote, "Who lights the lamp?", "The lamp is lit by the keeper.") is None
