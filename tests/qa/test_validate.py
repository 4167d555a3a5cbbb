"""Validation: what is grounded passes, everything else has a reason."""

import dataclasses

import pytest
from records_for_tests import chunk, pair

from evqa.qa.validate import DuplicateGuard, check_pairs, rejection

QUOTE = "A 7.4 kW wallbox draws 32 A at 230 V on a single phase."
QUESTION = "How much current does a 7.4 kW wallbox draw?"


def reason(question=QUESTION, answer=QUOTE, quote=QUOTE, text=None):
    held = pair(question, answer, quote)
    found = rejection(held, chunk(text if text is not None else quote))
    return found and found[0]


@pytest.mark.parametrize(
    "answer",
    [
        QUOTE,
        "32 A.",
        "It draws 32 A.",
        "A 7.4kW wallbox draws 32 amps at 230 volts.",
        "On a single phase, a 7.4 kW wallbox draws 32 A.",
    ],
)
def test_supported_answers_pass(answer):
    assert reason(answer=answer) is None


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("It draws 16 A.", "number_not_in_quote"),
        ("It draws 32 kW.", "number_not_in_quote"),
        ("It draws 32 A at 240 V.", "number_not_in_quote"),
        ("A 7.4 kW wallbox does not draw 32 A.", "negation"),
        ("Household appliances overheat electricians regularly.", "unsupported"),
        ("", "empty"),
        ("   ", "empty"),
        ("N/A", "placeholder"),
        ("TODO", "placeholder"),
        ("...", "placeholder"),
        ("[answer]", "placeholder"),
        ("Lorem ipsum dolor sit amet.", "placeholder"),
        ("{answer}", "placeholder"),
        ("I don't know.", "placeholder"),
        ("As an AI, I cannot say.", "placeholder"),
    ],
)
def test_unsupported_answers_are_named(answer, expected):
    assert reason(answer=answer) == expected


def test_an_identifier_must_stand_in_quote_question_or_heading():
    quote = "A box outdoors needs at least IP54."
    question = "Which protection does a box outdoors need?"
    assert reason(question, "At least IP54.", quote) is None
    assert reason(question, "At least IP44.", quote) == "name_not_in_quote"


def test_a_dropped_negation_is_seen():
    quote = "Type AC devices are not permitted for charging points."
    question = "Are Type AC devices permitted for charging points?"
    assert (
        reason(question, "Type AC devices are permitted for charging points.", quote) == "negation"
    )
    assert reason(question, "No, they are not permitted.", quote) is None
    assert reason(question, quote, quote) is None


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("What does the text say about wallboxes?", "not_self_contained"),
        ("How many pins are mentioned above?", "not_self_contained"),
        ("According to this article, what is a wallbox?", "not_self_contained"),
        ("What does the following table show?", "not_self_contained"),
        ("In this document, which current is given?", "not_self_contained"),
        ("Current?", "question_length"),
        ("Why " + "very " * 60 + "long?", "question_length"),
        ("", "empty"),
        ("TODO", "placeholder"),
        ("How much current does a wallbox in the documented range draw?", None),
        ("What is above 50 kW called in Britain?", None),
    ],
)
def test_questions_must_stand_alone(question, expected):
    assert reason(question=question) == expected


def test_the_quote_must_stand_at_its_offsets():
    held = pair(QUESTION, QUOTE, QUOTE)
    inside = chunk(f"Before. {QUOTE} After.")
    assert rejection(held, inside)[0] == "quote_not_found"
    moved = dataclasses.replace(held, quote_start=8, quote_end=8 + len(QUOTE))
    assert rejection(moved, inside) is None
    assert rejection(held, None)[0] == "quote_not_found"
    assert rejection(dataclasses.replace(held, quote=""), inside)[0] == "quote_not_found"


def test_imported_pairs_have_no_quote_to_check():
    assert rejection(pair("How long does it take?", "About 99 hours."), None) is None


def test_the_first_of_equal_questions_stays():
    guard = DuplicateGuard()
    assert guard.rejection(pair("How many pins has Type 2?", "Seven.")) is None
    found = guard.rejection(pair("how many  pins has TYPE 2", "Five."))
    assert found[0] == "duplicate_question"


def test_generated_questions_in_another_order_are_duplicates_but_shipped_wordings_are_not():
    guard = DuplicateGuard()
    guard.rejection(pair("How much power does a wallbox deliver at home?", "x"))
    again = "How much power at home does a wallbox deliver?"
    assert guard.rejection(pair(again, "y"))[0] == "near_duplicate_question"
    assert guard.rejection(pair(again, "y", generator="shipped")) is None


def test_other_numbers_make_another_question():
    guard = DuplicateGuard()
    assert guard.rejection(pair("How long does 11 kW take for 50 kWh?", "x")) is None
    assert guard.rejection(pair("How long does 22 kW take for 50 kWh?", "y")) is None


def test_every_pair_is_judged_once_in_order():
    pairs = [pair(QUESTION, QUOTE, QUOTE), pair(QUESTION, "32 A.", QUOTE), pair("?", "x")]
    held = chunk(QUOTE)
    found = list(check_pairs([(given, held) for given in pairs]))
    assert [(judged, chunk) for judged, chunk, _ in found] == [(given, held) for given in pairs]
    assert [why and why[0] for _, _, why in found] == [None, "duplicate_question", "placeholder"]


def test_a_pair_in_another_language_is_refused_and_a_short_one_is_not():
    german = pair(
        "Welche Leistung hat die Wallbox in der Garage?",
        "Die Wallbox in der Garage hat eine Leistung von 11 kW, und sie wird nicht gedrosselt.",
    )
    ((_, _, why),) = check_pairs([(german, None)], ["en"])
    assert why[0] == "language"
    ((_, _, why),) = check_pairs([(german, None)], [])
    assert why is None
    english = pair("How many volts is a 5% voltage drop at 230 V?", "A drop of 5% is 11.5 V.")
    ((_, _, why),) = check_pairs([(english, None)], ["en"])
    assert why is None


def test_an_answer_may_begin_with_what_was_asked():
    quote = "meter_id string(36) no Identifier of the meter inside the charger that is not shared."
    question = "What does meter_id mean in the Session object?"
    extract = "Identifier of the meter inside the charger that is not shared."
    asked = pair(question, f"meter_id in the Session object: {extract}", quote)
    assert rejection(asked, chunk(quote)) is None
    other = pair(question, f"The plug of Tesla: {extract}", quote)
    assert rejection(other, chunk(quote)) is not None
