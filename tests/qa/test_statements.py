"""Statements: the parts of a text that say something of their own, with what they leave out."""

import pytest

from evqa.qa.grounding.reading import read


def roots(text):
    return [(set(s.roots), set(s.shared_roots)) for s in read(text).statements]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("The lamp is red.", 1),
        ("The lamp is red; the mast is grey.", 2),
        ("The lamp is red, whereas the mast is grey.", 2),
        ("The lamp draws 5 W and the mast heater 90 W.", 2),
        ("It holds between 8 W and 14 W.", 1),
        ("It holds 50 W or more and is red.", 1),
        ("Two or three lamps burn.", 1),
        ("The lamp peaks at 90 W, falls to 40 W and drops below 5 W.", 3),
    ],
)
def test_a_text_has_that_many_statements(text, number):
    assert len(read(text).statements) == number


def test_an_item_that_begins_with_its_amount_shares_the_head():
    (_, none), (own, shared) = roots("Ropes cost £5 in winter and £9 in summer.")
    assert none == set()
    assert "rope" in shared
    assert "winter" not in own | shared


def test_an_item_with_its_own_subject_shares_no_subject():
    _, (own, shared) = roots("The old lamps draw 38 W on standby and the new ones 11 W.")
    assert "#0.011 kw" in own
    _, (own, shared) = roots("Public masts cost £38 each and private masts £11.")
    assert "public" not in own | shared


def test_a_part_that_points_back_shares_what_was_said():
    _, second = roots("The mast is grey; it weighs 90 kg.")
    assert "mast" in second[1]
    _, second = roots("The mast is grey; the lamp weighs 90 kg.")
    assert "mast" not in second[1]


def test_what_leads_a_sentence_holds_for_all_of_it():
    _, second = roots("In Norway, ropes cost £5 in winter, while masts cost £9.")
    assert "norway" in second[1]


def test_a_part_without_a_verb_shares_the_head():
    _, second = roots("Losses amount to 15% on a socket but only about 6% on a mast.")
    assert "lose" in second[1]
