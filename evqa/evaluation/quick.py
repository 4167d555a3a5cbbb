"""Base and fine-tuned model on the benchmark, with one loaded base and the adapter toggled."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evqa.config.evaluation import GenerationConfig, MetricsConfig
from evqa.evaluation.compare import Interval, interval, resampled_sums
from evqa.evaluation.metrics import LOWER_IS_BETTER, METRICS, Scores, score, score_of
from evqa.evaluation.predict import predict
from evqa.models.generate import Generator
from evqa.progress import progress
from evqa.records import Prediction, Question

BASE = "base"
TUNED = "tuned"
MIN_QUESTIONS = 30  # below this no verdict is given
DECIDING_METRIC = "key_fact_recall"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What two systems scored on the same questions."""

    questions: list[Question]
    predictions: dict[str, list[Prediction]]
    scores: dict[str, Scores]
    intervals: dict[str, dict[str, Interval]]
    differences: dict[str, Interval]

    @property
    def verdict(self) -> str:
        """SHIP when the deciding metric's paired interval is above zero."""
        if len(self.questions) < MIN_QUESTIONS:
            return "NOT_ENOUGH_DATA"
        return "SHIP" if self.differences[DECIDING_METRIC].low > 0 else "NO_SHIP"

    def to_json(self) -> dict[str, Any]:
        """Return the form of ``metrics.json`` and ``results.json``."""
        return {
            "verdict": self.verdict,
            "num_questions": len(self.questions),
            "systems": {name: self._system(name) for name in self.scores},
            "differences": {
                name: {"value": i.value, "ci_low": i.low, "ci_high": i.high}
                for name, i in self.differences.items()
            },
            "by_category": self._by("category"),
            "by_difficulty": self._by("difficulty"),
            "by_split": self._by("split"),
        }

    def _system(self, system: str) -> dict[str, Any]:
        scores = self.scores[system]
        return {
            name: {
                "value": scores.corpus[name],
                "ci_low": self.intervals[system][name].low,
                "ci_high": self.intervals[system][name].high,
                "signature": scores.signatures[name],
            }
            for name in METRICS
        }

    def _by(self, field: str) -> dict[str, Any]:
        groups = sorted({getattr(question, field) for question in self.questions})
        return {group: self._group(field, group) for group in groups}

    def _group(self, field: str, group: str) -> dict[str, Any]:
        rows = [i for i, q in enumerate(self.questions) if getattr(q, field) == group]
        means = {
            system: {
                name: sum(scores.per_question[name][row] for row in rows) / len(rows)
                for name in METRICS
            }
            for system, scores in self.scores.items()
        }
        return {"num_questions": len(rows), **means}


def compare_adapter(
    model: Any,
    tokenizer: Any,
    questions: list[Question],
    generation: GenerationConfig,
    metrics: MetricsConfig,
    benchmark_sha256: str,
    seed: int,
) -> Comparison:
    """Answer the benchmark with and without the adapter, and score both.

    Args:
        model: A peft model.
        tokenizer: Its tokenizer.
        questions: The benchmark.
        generation: How answers are generated.
        metrics: Intervals.
        benchmark_sha256: For the signatures.
        seed: Of sampling and resampling.
    """
    generator = Generator(model, tokenizer, generation, seed)
    predictions = {}
    for system in (BASE, TUNED):
        toggled = model.disable_adapter() if system == BASE else contextlib.nullcontext()
        with progress(f"asking the {system} model", len(questions)) as bar, toggled:
            predictions[system] = predict(system, generator, questions, bar.add)
    return compare(questions, predictions, metrics, benchmark_sha256, seed)


def compare(
    questions: list[Question],
    predictions: dict[str, list[Prediction]],
    metrics: MetricsConfig,
    benchmark_sha256: str,
    seed: int,
) -> Comparison:
    """Score base and tuned predictions and put intervals around everything."""
    scores = {
        system: score(questions, [p.text for p in made], benchmark_sha256)
        for system, made in predictions.items()
    }
    clusters = [question.source for question in questions]
    draws = {
        system: {name: _draws(found, name, clusters, metrics, seed) for name in METRICS}
        for system, found in scores.items()
    }
    level = metrics.confidence
    return Comparison(
        questions=questions,
        predictions=predictions,
        scores=scores,
        intervals={
            system: {
                name: interval(found.corpus[name], draws[system][name], level) for name in METRICS
            }
            for system, found in scores.items()
        },
        differences={
            name: interval(
                scores[TUNED].corpus[name] - scores[BASE].corpus[name],
                draws[TUNED][name] - draws[BASE][name],
                level,
            )
            for name in METRICS
        },
    )


def _draws(
    scores: Scores, name: str, clusters: Sequence[str], metrics: MetricsConfig, seed: int
) -> NDArray[np.float64]:
    """Return a metric's score on every resample of the documents."""
    sums = resampled_sums(scores.statistics[name], clusters, metrics.bootstrap_samples, seed)
    compute = score_of(name)
    return np.array([compute(row) for row in sums])


def improved(name: str, difference: Interval) -> bool:
    """Tell whether a metric got better beyond its interval."""
    return difference.high < 0 if name in LOWER_IS_BETTER else difference.low > 0


def samples(comparison: Comparison, count: int) -> list[dict[str, str]]:
    """Return ``count`` questions spread over the benchmark with reference and both answers."""
    total = len(comparison.questions)
    rows: Sequence[int] = sorted({total * place // max(1, count) for place in range(count)})
    return [
        {
            "question": comparison.questions[row].question,
            "reference": comparison.questions[row].answer,
            BASE: comparison.predictions[BASE][row].text,
            TUNED: comparison.predictions[TUNED][row].text,
        }
        for row in rows
        if row < total
    ]
