"""Likeness of questions: by the weight of what they share and of what each says alone."""

import pytest

from evqa.qa.leaks.asking import asking
from evqa.qa.leaks.likeness import Likeness

REFERENCES = ["Which latch holds the plug?", "Which hook holds the plug?", "Which hook is red?"]


@pytest.fixture(scope="module")
def likeness():
    return Likeness([asking(text) for text in REFERENCES])


def score(likeness, left, right):
    return likeness.score(asking(left), asking(right))


def test_rare_words_weigh_more_and_general_ones_little(likeness):
    assert likeness.weight("latch") > likeness.weight("hook") > likeness.weight("get")


def test_the_same_figures_and_kind_make_one_question_of_other_words(likeness):
    asked = "With 18 kWh and €0.40 a kWh, what is the bill?"
    assert score(likeness, asked, "What do 18 kWh cost at 40 cents per kWh?") > 0.8
    assert score(likeness, "What is the bill?", "What does the red hook cost?") < 0.55


@pytest.mark.parametrize(
    ("more", "less"),
    [
        ("Which latch holds the plug?", "Which latch holds the plug and the diesel heater?"),
        ("Which latch holds the plug?", "Which latch holds?"),
        ("Which latch holds the plug?", "Which latch holds the plug at 20 °C?"),
    ],
)
def test_what_one_says_alone_speaks_against(likeness, more, less):
    assert score(likeness, more, REFERENCES[0]) > score(likeness, less, REFERENCES[0])


def test_empty_questions_are_compared_too(likeness):
    assert 0 < score(likeness, "", "") < 1
