"""Structured configs of evaluation: benchmark, generation, metrics."""

from dataclasses import dataclass

from evqa.config.fields import number, setting


@dataclass(kw_only=True, slots=True)
class BenchmarkConfig:
    """The questions a model is judged by."""

    name: str = setting("benchmark", "short name, part of every score's signature")
    path: str = setting("", "JSONL file of questions")
    allow_leaks: bool = setting(
        False, "train on pairs or documents that say what the benchmark says; the report says so"
    )
    max_questions: int | None = number(None, ge=1, doc="ask only the first so many (null: all)")


@dataclass(kw_only=True, slots=True)
class GenerationConfig:
    """How answers are generated."""

    max_new_tokens: int | None = number(
        128, ge=1, le=8192, doc="longest answer, tokens (null in evaluate.py: as in the run)"
    )
    temperature: float = number(0.0, ge=0, le=5, doc="0: greedy")
    top_p: float = number(1.0, gt=0, le=1, doc="nucleus sampling (temperature > 0)")
    batch_size: int | None = number(
        16, ge=1, le=4096, doc="questions answered at once (null in evaluate.py: as in the run)"
    )


@dataclass(kw_only=True, slots=True)
class MetricsConfig:
    """How systems are compared."""

    confidence: float = number(0.95, gt=0.5, lt=1, doc="level of the intervals")
    bootstrap_samples: int = number(1000, ge=100, le=1_000_000, doc="resamples of an interval")
