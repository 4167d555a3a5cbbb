"""Predictions are written as they come: what a kill leaves is used, nothing is asked twice."""

import pytest
from answers_for_tests import prediction, question
from hypothesis import given
from hypothesis import strategies as st

from evqa.evaluation.predict import Batch, Store, predict
from evqa.records import Prediction, read_jsonl

QUESTIONS = [question(n) for n in range(7)]


class Recorder:
    """Answers in batches of three, and notes what it was asked."""

    name = "it"

    def __init__(self, fail_at=None):
        self.asked = []
        self._fail_at = fail_at

    def batches(self, questions, seed):
        groups = [questions[start : start + 3] for start in range(0, len(questions), 3)]
        return [Batch(list(group), lambda chosen: self._ask(chosen, seed)) for group in groups]

    def _ask(self, questions, seed):
        if self._fail_at == len(self.asked):
            raise OSError("the endpoint is gone")
        self.asked.append([question.id for question in questions])
        return [
            prediction(int(question.id[1:]), self.name, f"{question.id} {seed}", seed=seed)
            for question in questions
        ]


def test_the_order_is_the_benchmarks_whatever_the_batches():
    made = predict(Recorder(), QUESTIONS, [5, 6], Store(), lambda _: None)
    assert [(p.question_id, p.seed) for p in made] == [
        (q.id, s) for s in (5, 6) for q in QUESTIONS
    ]


def test_what_was_answered_before_a_failure_is_kept_and_not_asked_again(tmp_path):
    path = tmp_path / "predictions.jsonl"
    with pytest.raises(OSError, match="gone"):
        predict(Recorder(fail_at=1), QUESTIONS, [0], Store(path), lambda _: None)
    assert len(list(read_jsonl(path, Prediction))) == 3
    again, seen = Recorder(), []
    made = predict(again, QUESTIONS, [0], Store(path), seen.append)
    assert again.asked == [["q3", "q4", "q5"], ["q6"]]
    assert [p.text for p in made] == [f"q{n} 0" for n in range(7)]
    assert sum(seen) == 7


@given(cut=st.integers(1, 60))
def test_a_torn_line_is_dropped_and_its_batch_asked_again(tmp_path_factory, cut):
    path = tmp_path_factory.mktemp("torn") / "predictions.jsonl"
    predict(Recorder(), QUESTIONS, [0], Store(path), lambda _: None)
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    again = Recorder()
    made = predict(again, QUESTIONS, [0], Store(path), lambda _: None)
    assert again.asked == [["q6"]]
    assert [p.question_id for p in made] == [q.id for q in QUESTIONS]
    assert path.read_bytes() == whole


def test_a_batch_known_in_part_is_asked_whole(tmp_path):
    store = Store()
    store.add([prediction(1, "it", "known")])
    recorder = Recorder()
    predict(recorder, QUESTIONS[:3], [0], store, lambda _: None)
    assert recorder.asked == [["q0", "q1", "q2"]]


def test_another_systems_answers_do_not_count():
    store = Store()
    store.add([prediction(n, "other") for n in range(7)])
    recorder = Recorder()
    predict(recorder, QUESTIONS, [0], store, lambda _: None)
    assert len(recorder.asked) == 3


def test_finishing_writes_the_order_given(tmp_path):
    path = tmp_path / "predictions.jsonl"
    store = Store(path)
    store.add([prediction(2), prediction(1)])
    store.finish([prediction(1), prediction(2)])
    assert [p.question_id for p in read_jsonl(path, Prediction)] == ["q1", "q2"]
