"""Answers of a system to the benchmark, as records."""

from collections.abc import Callable, Sequence
from typing import Protocol

from evqa.models.generate import Answer
from evqa.records import Prediction, Question


class Answerer(Protocol):
    """Anything that answers questions: a loaded model, a served endpoint."""

    seed: int

    def answer(
        self, questions: Sequence[str], on_progress: Callable[[int], None] = ...
    ) -> list[Answer]:
        """Return one answer a question, in order."""


def predict(
    system: str,
    answerer: Answerer,
    questions: Sequence[Question],
    on_progress: Callable[[int], None],
) -> list[Prediction]:
    """Return a system's answers as records, one a question, in order."""
    answers = answerer.answer([question.question for question in questions], on_progress)
    return [
        Prediction(
            question_id=question.id,
            system=system,
            text=answer.text,
            num_prompt_tokens=answer.num_prompt_tokens,
            num_completion_tokens=answer.num_completion_tokens,
            ttft_ms=None,
            latency_ms=round(answer.latency_ms, 3),
            seed=answerer.seed,
            finish_reason=answer.finish_reason,
            prompt_sha256=answer.prompt_sha256,
        )
        for question, answer in zip(questions, answers, strict=True)
    ]
