"""Base forms, synonyms and opposites of words."""

import pytest

from evqa.qa.grounding.meaning import base, is_family, is_negated, meant, opposites, plain


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("charging", "charge"), ("charged", "charge"), ("charges", "charge"), ("fell", "fall"),
        ("supply", "supply"), ("colder", "cold"), ("biggest", "big"), ("linearly", "linear"),
        ("monthly", "month"), ("batteries", "battery"), ("bus", "bus"), ("stopped", "stop"),
    ],
)  # fmt: skip
def test_a_word_has_its_base_form(word, expected):
    assert base(word) == expected


def test_words_that_mean_the_same_are_one():
    assert meant("begins") == meant("starts")
    assert is_family(plain("heating"), plain("heats"))
    assert is_family(plain("complete"), plain("finished"))
    assert not is_family(plain("charger"), plain("charging"))
    assert not is_family(plain("lamp"), plain("mast"))


def test_opposites_are_known_by_table_or_prefix():
    assert plain("lower") in opposites("raise")
    assert plain("dc") in opposites("AC".lower())
    assert opposites("lamp") == frozenset()
    assert is_negated("registered", "unregistered")
    assert not is_negated("port", "import")
