"""Answers of a system to the benchmark, written as they come, so that a rerun continues.

A file of predictions holds one record a line, in the order in which they were made. A kill can
tear its last line, which is then dropped. At the end it is written again, in the benchmark's
order.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from evqa.files import atomic_writer
from evqa.records import Prediction, Question, write_jsonl


@dataclass(frozen=True, slots=True)
class Timing:
    """When the tokens of one answer came.

    Attributes:
        ttft_ms: Time to the first token.
        gaps_ms: Time between one token and the next.
        num_tokens: Tokens of the answer.
        total_ms: Time to the last token.
    """

    ttft_ms: float
    gaps_ms: list[float]
    num_tokens: int
    total_ms: float


@dataclass(frozen=True, slots=True)
class Batch:
    """Questions that are asked together.

    Attributes:
        ask: Answers questions of the batch; what it yields before it fails is kept.
        divisible: Whether an answer is the same whatever is asked beside it.
    """

    questions: list[Question]
    ask: Callable[[Sequence[Question]], Iterable[Prediction]]
    divisible: bool = False


class Answerer(Protocol):
    """Anything that answers questions: a loaded model, a served endpoint."""

    @property
    def name(self) -> str:
        """The system's name in reports."""

    def batches(self, questions: Sequence[Question], seed: int) -> Sequence[Batch]:
        """Return the questions in the batches in which they are asked, the same every time."""

    def time(self, questions: Sequence[str], max_new_tokens: int) -> list[Timing]:
        """Answer all questions at once and tell when tokens came."""


class Store:
    """The predictions made so far.

    Args:
        path: A file of predictions, or null to keep them in memory only.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._made: dict[tuple[str, int, str], Prediction] = {}
        if path is not None and path.is_file():
            for prediction in _whole_lines(path):
                self._keep(prediction)

    def __len__(self) -> int:
        return len(self._made)

    def _keep(self, prediction: Prediction) -> None:
        self._made[prediction.system, prediction.seed, prediction.question_id] = prediction

    def get(self, system: str, seed: int, question_id: str) -> Prediction | None:
        """Return an answer made before, if there is one."""
        return self._made.get((system, seed, question_id))

    def add(self, predictions: Sequence[Prediction]) -> None:
        """Keep answers, on the disk before it returns."""
        for prediction in predictions:
            self._keep(prediction)
        if self._path is None:
            return
        with self._path.open("a", encoding="utf-8") as stream:
            for prediction in predictions:
                stream.write(json.dumps(prediction.to_dict(), ensure_ascii=False) + "\n")
            stream.flush()
            os.fsync(stream.fileno())

    def finish(self, predictions: Sequence[Prediction]) -> None:
        """Write the file once more, whole and in the order given."""
        if self._path is not None:
            write_jsonl(self._path, predictions)


def _whole_lines(path: Path) -> Iterator[Prediction]:
    """Yield the records of a file that a kill may have torn, and mend the file."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    kept = []
    for line in lines:
        try:
            prediction = Prediction.from_dict(json.loads(line))
        except (ValueError, TypeError):
            break
        if not line.endswith("\n"):
            break
        kept.append(line)
        yield prediction
    if len(kept) < len(lines):
        with atomic_writer(path) as stream:
            stream.writelines(kept)


def predict(
    answerer: Answerer,
    questions: Sequence[Question],
    seeds: Sequence[int],
    store: Store,
    on_progress: Callable[[int], None],
) -> list[Prediction]:
    """Return a system's answers: all questions with the first seed, then with the next.

    Batches that the store holds whole are not asked again. One that it holds in part is asked
    whole, since scores computed in another batch may differ in their last bits; of a divisible
    batch only the rest.
    """
    made = []
    for seed in seeds:
        for batch in answerer.batches(questions, seed):
            _answer(batch, answerer.name, seed, store)
            on_progress(len(batch.questions))
        found = [store.get(answerer.name, seed, question.id) for question in questions]
        made += [prediction for prediction in found if prediction is not None]
    return made


def _answer(batch: Batch, system: str, seed: int, store: Store) -> None:
    missing = [q for q in batch.questions if store.get(system, seed, q.id) is None]
    if not missing:
        return
    made: list[Prediction] = []
    try:
        for prediction in batch.ask(missing if batch.divisible else batch.questions):
            made.append(prediction)  # noqa: PERF402  what came before a failure is kept
    finally:
        store.add(made)
