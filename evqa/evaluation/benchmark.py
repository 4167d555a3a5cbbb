"""The benchmark: questions read and checked."""

from collections import Counter
from pathlib import Path

from evqa.config.evaluation import BenchmarkConfig
from evqa.errors import UserError
from evqa.files import sha256_file
from evqa.records import Question, read_jsonl


def load_benchmark(config: BenchmarkConfig, key: str = "benchmark") -> list[Question]:
    """Return the questions of a benchmark file, in its order.

    Args:
        config: The file, and how many of its questions.
        key: The config group, for messages.

    Raises:
        UserError: no such file, no question in it, a missing field, a duplicate id, an empty
            answer, or an unknown split, naming the question.
    """
    path = Path(config.path).expanduser()
    if not path.is_file():
        raise UserError(f"{key}.path={config.path}: no such file")
    questions = list(read_jsonl(path, Question))
    if not questions:
        raise UserError(f"{key}.path={config.path}: no question in it")
    ids = Counter(question.id for question in questions)
    for question in questions:
        if ids[question.id] > 1:
            raise UserError(f"{path}: id {question.id!r} stands {ids[question.id]} times")
        _check(path, question, config.categories)
    return questions[: config.max_questions]


def _check(path: Path, question: Question, categories: list[str]) -> None:
    if categories and question.category not in categories:
        raise UserError(
            f"{path}: {question.id}: category must be one of {', '.join(categories)}, "
            f"got {question.category!r}"
        )
    if question.split not in Question.SPLITS:
        allowed = " or ".join(Question.SPLITS)
        raise UserError(f"{path}: {question.id}: split must be {allowed}, got {question.split!r}")
    for name in ("question", "answer"):
        if not str(getattr(question, name)).strip():
            raise UserError(f"{path}: {question.id}: the {name} is empty")


def benchmark_sha256(config: BenchmarkConfig) -> str:
    """Return the hash of the benchmark file, part of every score's signature."""
    return sha256_file(Path(config.path).expanduser())
