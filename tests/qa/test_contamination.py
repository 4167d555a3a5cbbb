"""The benchmark stays out of the pairs: leaks are found, neighbours are not blamed."""

import pytest
from records_for_tests import asked, pair

from evqa.config.data import QAConfig
from evqa.errors import GateError
from evqa.ledger import Ledger
from evqa.qa.contamination import TfIdf, certificate, find_overlaps, refuse_hand_made
from evqa.qa.pairs import without_benchmark

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


def kinds(*pairs, least=0.85):
    return [(o.kind, o.question.id) for o in find_overlaps(pairs, BENCHMARK, least)]


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("How much current does a 7.4 kW wallbox draw?", "same_question"),
        ("how much  current does a 7.4kW wallbox draw", "same_question"),
        ("How much current will a 7.4 kW wallbox draw?", "near_question"),
        ("A 7.4 kW wallbox draws how much current?", None),
    ],
)
def test_a_leaked_question_is_found(question, kind):
    found = kinds(pair(question, "32 A."), least=0.75)
    assert [k for k, _ in found] == ([kind] if kind else found and [found[0][0]])


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


def test_a_long_answer_of_a_held_out_question_is_a_leak():
    leaked = pair("Are boats charged?", BENCHMARK[3].answer.upper())
    assert kinds(leaked) == [("same_answer", "q4")]
    assert kinds(pair("Are boats charged?", "Forty cents.")) == []


def test_generated_leaks_are_dropped_and_accounted():
    ledger = Ledger()
    good, bad = pair("What is a wallbox?", "A charger."), pair(BENCHMARK[0].question, "32 A.")
    found = without_benchmark([good, bad], BENCHMARK, [], QAConfig(), ledger, {})
    ledger.check()
    assert found.pairs == [good]
    assert [drop.reason for drop in ledger.dropped] == ["benchmark_overlap"]
    assert (found.certificate["num_dropped"], found.certificate["num_remaining"]) == (1, 0)
    assert found.certificate["dropped"][0]["question_id"] == "q1"


@pytest.mark.parametrize("generator", ["shipped", "imported"])
def test_hand_made_leaks_stop_the_job_by_name(generator):
    leaked = pair(BENCHMARK[0].question, "32 A.", generator=generator, provenance={"line": 7})
    with pytest.raises(GateError, match=rf"{generator} pair \(line 7\).*q1"):
        refuse_hand_made(find_overlaps([leaked], BENCHMARK, 0.85))


def test_hand_made_near_questions_are_dropped_not_fatal():
    near = pair("How much current will a 7.4 kW wallbox draw?", "32 A.", generator="shipped")
    found = without_benchmark([near], BENCHMARK, [], QAConfig(overlap_cosine=0.7), Ledger(), {})
    assert found.pairs == []


def test_the_certificate_counts_what_remains():
    leaked = pair(BENCHMARK[0].question, "32 A.")
    found = certificate([leaked], BENCHMARK, [], [{"source": "a", "jaccard": 0.1}], 0.85)
    assert found["num_remaining"] == 1
    assert found["held_out_documents"] == [{"source": "a", "jaccard": 0.1}]


def test_without_a_benchmark_nothing_overlaps():
    assert find_overlaps([pair("What is a wallbox?", "x")], [], 0.85) == []


def test_tf_idf_vectors_have_unit_length_and_weigh_rare_words_more():
    tfidf = TfIdf(["the plug fits", "the plug breaks", "the latch breaks"])
    vector = tfidf.vector("plug latch")
    assert sum(weight**2 for weight in vector.values()) == pytest.approx(1)
    assert vector["latch"] > vector["plug"]
    assert tfidf.vector("") == {}
