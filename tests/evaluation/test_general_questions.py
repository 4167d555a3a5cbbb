"""The shipped general questions: whole, balanced, and nothing of the domain."""

from collections import Counter

from evqa.config import data_dir
from evqa.evaluation.facts import key_fact_recall
from evqa.records import Question, read_jsonl

QUESTIONS = list(read_jsonl(data_dir() / "benchmark" / "general.jsonl", Question))
DOMAIN = ("charg", "vehicle", "electric", "kwh", "battery", "plug", "socket", "tariff", " ev ")


def test_there_are_at_least_a_hundred_and_none_twice():
    assert len(QUESTIONS) >= 100
    assert len({q.id for q in QUESTIONS}) == len({q.question for q in QUESTIONS}) == len(QUESTIONS)


def test_they_are_balanced():
    counts = Counter(q.category for q in QUESTIONS)
    assert set(counts.values()) == {20}
    assert min(Counter(q.difficulty for q in QUESTIONS).values()) >= 35


def test_every_reference_holds_its_key_facts():
    for one in QUESTIONS:
        assert one.key_facts, one.id
        for text in (one.answer, *one.alternatives):
            assert key_fact_recall(text, one.key_facts) == 1, one.id


def test_an_empty_answer_and_the_question_itself_are_wrong():
    for one in QUESTIONS:
        assert key_fact_recall("", one.key_facts) == 0, one.id
    echoed = [one.id for one in QUESTIONS if key_fact_recall(one.question, one.key_facts) == 1]
    assert len(echoed) <= 2, echoed  # multiple-choice questions name the right word


def test_nothing_of_the_domain():
    for one in QUESTIONS:
        text = f" {one.question} {one.answer} ".casefold()
        assert not [word for word in DOMAIN if word in text], one.id


def test_each_question_is_a_cluster_of_its_own():
    assert len({q.source for q in QUESTIONS}) == len(QUESTIONS)
