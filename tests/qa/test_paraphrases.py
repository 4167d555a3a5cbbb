"""Paraphrases of benchmark questions are found, near misses are not blamed.

The labelled sets hold other wordings of benchmark questions, and questions of almost the same
words that ask something else. Rules and weights were made with them, so this guards what was
reached; what other questions would show stands in docs/decisions/0011-pairs.md.
"""

import json
from pathlib import Path

import pytest
from records_for_tests import pair

from evqa.config.data import QAConfig
from evqa.qa.leaks.asking import asking, terms
from evqa.qa.leaks.contamination import BenchmarkIndex
from evqa.qa.leaks.paraphrase import conflict, means_the_same
from evqa.qa.wordings import root
from evqa.records import Question, read_jsonl

HERE = Path(__file__).parent
BENCHMARKS = HERE.parents[1] / "data" / "benchmark"
BENCHMARK = BENCHMARKS / "ev_charging.jsonl"


def labelled(name):
    rows = [json.loads(line) for line in (HERE / f"{name}.jsonl").read_text().splitlines()]
    return [row for row in rows if row["same"]], [row for row in rows if not row["same"]]


@pytest.fixture(scope="module")
def index():
    return BenchmarkIndex(list(read_jsonl(BENCHMARK, Question)), QAConfig().overlap_likeness)


@pytest.mark.parametrize(
    ("name", "recall", "false_alarms"),
    [
        ("paraphrases", 0.97, 0.05),
        ("paraphrases_unseen", 0.92, 0.09),  # the rules learnt from half of it
        ("paraphrases_more", 0.95, 0.04),
    ],
)
def test_recall_and_false_alarms(index, name, recall, false_alarms):
    """Judged by the questions alone: the answer says nothing."""
    same, other = labelled(name)
    found = [index.overlap(pair(row["question"], "Unknown.")) for row in same]
    blamed = [index.overlap(pair(row["question"], "Unknown.")) for row in other]
    assert sum(overlap is not None for overlap in found) >= recall * len(same)
    assert sum(overlap is not None for overlap in blamed) <= false_alarms * len(other)


def test_another_domain_needs_no_words_of_its_own():
    questions = list(read_jsonl(BENCHMARKS / "heat_pumps.jsonl", Question))
    index = BenchmarkIndex(questions, QAConfig().overlap_likeness)
    same, other = labelled("paraphrases_heat_pumps")
    assert sum(index.overlap(pair(r["question"], "?")) is not None for r in same) >= 15
    assert not any(index.overlap(pair(r["question"], "?")) for r in other)


def test_a_paraphrase_with_the_right_answer_is_found_sooner(index):
    questions = {q.id: q for q in read_jsonl(BENCHMARK, Question)}
    same, _ = labelled("paraphrases")
    found = [index.overlap(pair(r["question"], questions[r["question_id"]].alternatives[0]))
             for r in same]  # fmt: skip
    assert sum(overlap is not None for overlap in found) >= 0.95 * len(same)


@pytest.mark.parametrize(
    ("left", "right", "why"),
    [
        ("How much current does it draw?", "How much power does it draw?", "another kind"),
        ("How long do 50 kWh take?", "How long do 60 kWh take?", "other numbers"),
        ("What does CCS stand for?", "What does OCPP stand for?", "other names"),
        ("How many pins has the plug?", "How many phases has the plug?", "other things"),
        ("What is lost before charging?", "What is lost after charging?", "one word"),
        ("What is paid at night?", "What is paid during the day?", "an opposite"),
        ("How far is a pool for trucks?", "How far is a pool?", "the first is about that"),
        ("Which latch holds the plug?", "Which screw holds the plug?", "one word"),
        ("What is due from 8 kW or more?", "What is due below 8 kW?", "another side of a bound"),
        ("What is due in Spain?", "What is due in Peru?", "other proper nouns"),
        ("What does it cost per kWh?", "What does it cost per minute?", "another rate"),
        ("What costs it with a fee?", "What costs it without any fee?", "one leaves out"),
        ("Why does it charge slowly?", "Does it charge slowly?", "another kind"),
        ("How much heat comes of 9 kW?", "How much power comes of 9 kW?", "the amount of"),
        (
            "What is billed per day on a bike?",
            "What is billed per month on a bike?",
            "an opposite",
        ),
        ("Which posts did not work at all?", "Which posts did work at all?", "one word"),
        ("Which bus has a red door of 2 m?", "Which bus has a door?", None),
        ("Which post gives 9 kW?", "How much power does a post give?", "the first states"),
        ("How many amps does it draw?", "What current does it pull?", None),
        ("When was Ionity founded?", "In what year was Ionity established?", None),
        ("Who runs it in Spain?", "Which company operates it in Spain?", None),
        ("What does it cost per kWh?", "What must I pay for a kilowatt-hour?", None),
    ],
)
def test_what_speaks_against_two_questions_being_one(left, right, why):
    found = conflict(asking(left), asking(right))
    assert (found is None) if why is None else found.startswith(why)


def test_words_are_reduced_to_what_they_stand_for():
    assert root("swapping") == root("swap")
    assert root("durations") == root("duration")
    assert terms("the of and 7.4 kW, how many") == []


@pytest.mark.parametrize(
    ("left", "right"),
    [("begin", "start"), ("owner", "possess"), ("percentage", "fraction"), ("home", "household"),
     ("carmaker", "manufacturer"), ("adoption", "adopt"), ("electric", "electrician")],
)  # fmt: skip
def test_words_that_mean_the_same(left, right):
    assert means_the_same(root(left), root(right))
    assert not means_the_same(root(left), root("marmalade"))
