"""The benchmark stays out of the pairs: leaks are found, neighbours are not blamed."""

import pytest
from records_for_tests import asked, pair

from evqa.errors import GateError
from evqa.qa.leaks.contamination import BenchmarkIndex, certificate, refuse_hand_made

BENCHMARK = [
    asked("How much current does a 7.4 kW wallbox draw?", id="q1"),
    asked("Which plug is used for public DC charging in Europe?", id="q2"),
    asked("How long does adding 36 kWh at 7.4 kW take?", id="q3"),
    asked(
        "What does the harbour charge its boats?",
        "The harbour of Lindholm charges its boats forty cents a kilowatt hour.",
        id="q4",
        split="held_out",
    ),
]


def overlaps(*pairs, least=0.55, benchmark=BENCHMARK):
    index = BenchmarkIndex(benchmark, least)
    return [found for found in map(index.overlap, pairs) if found]


def kinds(*pairs, **options):
    return [(o.kind, o.question.id) for o in overlaps(*pairs, **options)]


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("How much current does a 7.4 kW wallbox draw?", "same_question"),
        ("how much  current does a 7.4kW wallbox draw", "same_question"),
        ("How much current will a 7.4 kW wallbox draw?", "near_question"),
        ("A 7.4 kW wallbox draws how much current?", "near_question"),
        ("Which amperage does a wall charger of 7.4 kW pull?", "near_question"),
    ],
)
def test_a_leaked_question_is_found(question, kind):
    assert kinds(pair(question, "32 A.")) == [(kind, "q1")]


@pytest.mark.parametrize(
    "question",
    [
        "How much current does an 11 kW wallbox draw?",
        "How long does adding 36 kWh at 11 kW take?",
        "How long does adding 50 kWh at 7.4 kW take?",
        "Which plug is used for home charging in Japan?",
        "What is a wallbox?",
    ],
)
def test_the_same_words_with_another_meaning_are_no_leak(question):
    assert kinds(pair(question, "x")) == []


def test_an_answer_of_other_figures_makes_a_similar_question_another():
    asked_twice = [asked("How many contacts has the Type 2 inlet?", "Seven.", key_facts=["7"])]
    similar = "How many contacts of the Type 2 inlet does a moped need?"
    assert kinds(pair(similar, "Some."), benchmark=asked_twice) != []
    assert kinds(pair(similar, "Five are used."), benchmark=asked_twice) == []
    alike = "How many contacts does the Type 2 inlet have?"
    assert kinds(pair(alike, "Five."), benchmark=asked_twice) != []


def test_a_long_answer_of_a_held_out_question_is_a_leak():
    leaked = pair("Are boats charged?", BENCHMARK[3].answer.upper())
    assert kinds(leaked) == [("same_held_out_answer", "q4")]
    assert kinds(pair("Are boats charged?", "Forty cents.")) == []


@pytest.mark.parametrize("generator", ["shipped", "imported"])
def test_hand_made_leaks_stop_the_job_by_name(generator):
    leaked = pair(BENCHMARK[0].question, "32 A.", generator=generator, provenance={"line": 7})
    with pytest.raises(GateError, match=rf"{generator} pair \(line 7\).*q1"):
        refuse_hand_made(overlaps(leaked))
    refuse_hand_made(overlaps(pair(BENCHMARK[0].question, "32 A.")))  # generated ones are dropped


def test_the_certificate_says_what_was_allowed():
    leak = overlaps(pair(BENCHMARK[0].question, "32 A.", generator="shipped"))[0].to_dict()
    values = {
        "num_questions": 4,
        "num_pairs": 1,
        "dropped": [],
        "documents": [],
        "least_likeness": 1,
    }
    found = certificate(leaks=[leak], **values)
    assert (found["num_remaining"], found["leaks_allowed"]) == (1, True)
    assert certificate(leaks=[], **values)["leaks_allowed"] is False


def test_without_a_benchmark_nothing_overlaps():
    assert overlaps(pair("What is a wallbox?", "x"), benchmark=[]) == []
