"""Two or more systems on the same questions: scores, intervals, differences, breakdowns.

The first system is the baseline, the second is judged; any others are shown beside them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evqa.config.evaluation import BREAKDOWNS, MetricsConfig
from evqa.evaluation.compare import Interval, PairedResult, holm, interval, resampled_sums
from evqa.evaluation.compare import paired_difference as paired
from evqa.evaluation.metrics import LOWER_IS_BETTER, METRICS, Scores, score, score_of
from evqa.records import Prediction, Question

BASE = "base"
TUNED = "tuned"


@dataclass(frozen=True, slots=True)
class Group:
    """The questions of one category, difficulty or split.

    Attributes:
        means: Each system's mean of each metric over the group's questions.
        result: The judged system against the baseline, by the deciding metric.
        p_holm: Its p-value, corrected for the number of groups beside it.
    """

    name: str
    rows: list[int]
    means: dict[str, dict[str, float]]
    result: PairedResult
    p_holm: float

    def worse(self, confidence: float) -> bool:
        """Tell whether the judged system is worse here, beyond doubt at this level."""
        return self.result.interval.value < 0 and self.p_holm < 1 - confidence

    def to_json(self) -> dict[str, Any]:
        """Return the form of ``results.json``."""
        return {
            "num_questions": len(self.rows),
            "num_documents": self.result.num_clusters,
            **self.means,
            "difference": {
                **interval_json(self.result.interval),
                "p_value": self.result.p_value,
                "p_holm": self.p_holm,
            },
        }


@dataclass(frozen=True)
class Comparison:
    """What two or more systems scored on the same questions.

    Attributes:
        questions: One a prediction of each system: with several seeds a question comes again.
        predictions: Answers by system, in the order of ``questions``.
        scores: By system.
        intervals: By system and metric.
        differences: Against the baseline, by system (all but the baseline) and metric.
        main: The judged system against the baseline, by the deciding metric.
        breakdowns: By category, difficulty and split.
        settings: How it was computed.
    """

    questions: list[Question]
    predictions: dict[str, list[Prediction]]
    scores: dict[str, Scores]
    intervals: dict[str, dict[str, Interval]]
    differences: dict[str, dict[str, Interval]]
    main: PairedResult
    breakdowns: dict[str, list[Group]]
    settings: MetricsConfig
    additional: dict[str, dict[str, float | None]] = field(default_factory=dict)

    @property
    def systems(self) -> list[str]:
        """The systems' names, the baseline first."""
        return list(self.scores)

    @property
    def baseline(self) -> str:
        """The system that the others are compared with."""
        return self.systems[0]

    @property
    def judged(self) -> str:
        """The system that the verdict is on."""
        return self.systems[1]

    @cached_property
    def gains(self) -> list[float]:
        """The judged system's gain at each question, by the deciding metric."""
        metric = self.settings.verdict.metric
        ours, theirs = (self.scores[s].per_question[metric] for s in (self.judged, self.baseline))
        return [a - b for a, b in zip(ours, theirs, strict=True)]

    def to_json(self) -> dict[str, Any]:
        """Return what ``metrics.json`` and ``results.json`` share."""
        return {
            "num_questions": len({question.id for question in self.questions}),
            "num_documents": self.main.num_clusters,
            "systems": {name: self._system(name) for name in self.systems},
            "additional": self.additional,
            "differences": {
                name: interval_json(found) for name, found in self.differences[self.judged].items()
            },
            "other_differences": {
                system: {name: interval_json(found) for name, found in by_metric.items()}
                for system, by_metric in self.differences.items()
                if system != self.judged
            },
            **{
                f"by_{kind}": {group.name: group.to_json() for group in groups}
                for kind, groups in self.breakdowns.items()
            },
        }

    def _system(self, system: str) -> dict[str, Any]:
        scores = self.scores[system]
        return {
            name: {
                **interval_json(self.intervals[system][name]),
                "signature": scores.signatures[name],
            }
            for name in METRICS
        }


def interval_json(found: Interval) -> dict[str, float | None]:
    """Return an interval's JSON form; ends that are not known are null."""
    ends = [end if math.isfinite(end) else None for end in (found.low, found.high)]
    return {"value": found.value, "ci_low": ends[0], "ci_high": ends[1]}


def compare(
    questions: list[Question],
    predictions: dict[str, list[Prediction]],
    settings: MetricsConfig,
    benchmark_sha256: str,
    seed: int,
) -> Comparison:
    """Score every system's predictions and put intervals around everything.

    Args:
        questions: One a prediction, in the same order.
        predictions: Two systems or more, the baseline first and the judged one second.
        settings: Level and resamples of the intervals, the deciding metric.
        benchmark_sha256: For the signatures.
        seed: Of the resampling.
    """
    scores = {
        system: score(questions, [p.text for p in made], benchmark_sha256)
        for system, made in predictions.items()
    }
    clusters = [question.source for question in questions]
    count = len(set(clusters))
    draws = {
        system: {name: _draws(found, name, clusters, settings, seed) for name in METRICS}
        for system, found in scores.items()
    }
    baseline, judged, *_ = predictions
    metric = settings.verdict.metric
    values = {system: found.per_question[metric] for system, found in scores.items()}
    rows = list(range(len(questions)))
    return Comparison(
        questions=questions,
        predictions=predictions,
        scores=scores,
        intervals={
            system: {
                name: interval(found.corpus[name], draws[system][name], settings.confidence, count)
                for name in METRICS
            }
            for system, found in scores.items()
        },
        differences={
            system: {
                name: interval(
                    scores[system].corpus[name] - scores[baseline].corpus[name],
                    draws[system][name] - draws[baseline][name],
                    settings.confidence,
                    count,
                )
                for name in METRICS
            }
            for system in list(scores)[1:]
        },
        main=_paired(rows, values[judged], values[baseline], clusters, settings, seed),
        breakdowns={
            kind: _groups(kind, questions, scores, (judged, baseline), settings, seed)
            for kind in BREAKDOWNS
        },
        settings=settings,
    )


def _draws(
    scores: Scores, name: str, clusters: Sequence[str], settings: MetricsConfig, seed: int
) -> NDArray[np.float64]:
    """Return a metric's score on every resample of the documents."""
    sums = resampled_sums(scores.statistics[name], clusters, settings.bootstrap_samples, seed)
    compute = score_of(name)
    return np.array([compute(row) for row in sums])


def _paired(
    rows: list[int],
    ours: list[float],
    theirs: list[float],
    clusters: list[str],
    settings: MetricsConfig,
    seed: int,
) -> PairedResult:
    return paired(
        [ours[row] for row in rows],
        [theirs[row] for row in rows],
        [clusters[row] for row in rows],
        confidence=settings.confidence,
        num_samples=settings.bootstrap_samples,
        seed=seed,
    )


def _groups(
    kind: str,
    questions: list[Question],
    scores: dict[str, Scores],
    pair: tuple[str, str],
    settings: MetricsConfig,
    seed: int,
) -> list[Group]:
    """Return the groups of one breakdown, by name."""
    members: dict[str, list[int]] = {}
    for row, question in enumerate(questions):
        members.setdefault(str(getattr(question, kind)), []).append(row)
    clusters = [question.source for question in questions]
    ours, theirs = (scores[system].per_question[settings.verdict.metric] for system in pair)
    results = {
        name: _paired(rows, ours, theirs, clusters, settings, seed)
        for name, rows in sorted(members.items())
    }
    corrected = holm([result.p_value for result in results.values()])
    return [
        Group(name, members[name], _means(scores, members[name]), result, p)
        for (name, result), p in zip(results.items(), corrected, strict=True)
    ]


def _means(scores: dict[str, Scores], rows: list[int]) -> dict[str, dict[str, float]]:
    return {
        system: {
            name: sum(found.per_question[name][row] for row in rows) / len(rows)
            for name in METRICS
        }
        for system, found in scores.items()
    }


def improved(name: str, difference: Interval) -> bool:
    """Tell whether a metric got better beyond its interval."""
    return difference.high < 0 if name in LOWER_IS_BETTER else difference.low > 0


def samples(comparison: Comparison, count: int) -> list[dict[str, str]]:
    """Return ``count`` questions spread over the benchmark with reference and all answers."""
    return [sample(comparison, row) for row in spread(len(comparison.questions), count)]


def spread(total: int, count: int) -> list[int]:
    """Return up to ``count`` places spread evenly over ``total``."""
    return sorted({total * place // max(1, count) for place in range(count)} & set(range(total)))


def sample(comparison: Comparison, row: int) -> dict[str, str]:
    """Return one question with its reference and every system's answer."""
    question = comparison.questions[row]
    answers = {system: made[row].text for system, made in comparison.predictions.items()}
    return {"question": question.question, "reference": question.answer, **answers}
