"""Structured configs of evaluation: benchmark, generation, metrics, verdict, performance."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from evqa.config.fields import group, number, one_of, setting

BREAKDOWNS = ("category", "difficulty", "split")
VERDICT_METRICS = ("key_fact_recall", "token_f1", "exact_match", "rouge_l", "rouge_1", "rouge_2")


class LeakPolicy(StrEnum):
    """Which hand-made pairs may say what the benchmark says."""

    none = "none"
    wordings = "wordings"
    all = "all"


@dataclass(kw_only=True, slots=True)
class BenchmarkConfig:
    """The questions a model is judged by."""

    name: str = setting("benchmark", "short name, part of every score's signature")
    path: str = setting("", "JSONL file of questions")
    allow_leaks: LeakPolicy = setting(
        LeakPolicy.none,
        "hand-made pairs that say what the benchmark says: none stops the job; wordings lets "
        "in_corpus questions be trained in other words; all lets everything; the report says so",
    )
    max_questions: int | None = number(None, ge=1, doc="ask only the first so many (null: all)")
    categories: list[str] = setting(
        [], "every question's category must be one of these (empty: any)"
    )


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
    num_seeds: int = number(1, ge=1, le=100, doc="answers a question, each from another seed")

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Yield settings that contradict each other."""
        if self.num_seeds > 1 and self.temperature == 0:
            yield "num_seeds", "greedy answers do not depend on the seed; set temperature above 0"


@dataclass(kw_only=True, slots=True)
class VerdictConfig:
    """When a system is called better than the baseline."""

    metric: str = one_of("key_fact_recall", VERDICT_METRICS, "the metric that decides, 0 to 1")
    min_improvement: float = number(
        0.0, ge=0, lt=1, doc="SHIP when the whole interval of the difference lies above this"
    )
    min_questions: int = number(30, ge=2, doc="fewer questions are not enough data")
    min_documents: int = number(8, ge=2, doc="questions about fewer documents are not enough data")
    largest_unseen: float = number(
        0.15,
        gt=0,
        le=1,
        doc="no difference found and one of this size could have been missed: not enough data",
    )
    protect: list[str] = setting(
        ["category"], "breakdowns of which no group may get worse: category, difficulty, split"
    )
    protect_retention: bool = setting(True, "getting worse on general questions vetoes a SHIP")

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Yield breakdowns that there are not."""
        for name in self.protect:
            if name not in BREAKDOWNS:
                yield "protect", f"must be among {', '.join(BREAKDOWNS)}, but got {name!r}"


@dataclass(kw_only=True, slots=True)
class JudgeConfig:
    """A language model that compares two answers, asked twice with their order swapped."""

    model: str | None = setting(None, "the judging model's name (null: no judge)")
    base_url: str | None = setting(None, "OpenAI-compatible server (null: Together's)")
    api_key_env: str = setting("TOGETHER_API_KEY", "environment variable that holds the key")
    max_questions: int = number(50, ge=1, doc="questions judged, spread over the benchmark")
    max_in_flight: int = number(4, ge=1, le=256, doc="requests at a time")
    timeout_s: float = number(60.0, gt=0, doc="for one judgement")


@dataclass(kw_only=True, slots=True)
class MetricsConfig:
    """How systems are compared."""

    confidence: float = number(0.95, gt=0.5, lt=1, doc="level of the intervals")
    bootstrap_samples: int = number(1000, ge=100, le=1_000_000, doc="resamples of an interval")
    reference_perplexity: bool = setting(
        True, "perplexity of the reference answers (evaluate.py, models held here)"
    )
    embedding_model: str | None = setting(
        None, "folder or package of a sentence-embedding model, for semantic similarity"
    )
    verdict: VerdictConfig = group(VerdictConfig, "when a system is called better")
    judge: JudgeConfig = group(JudgeConfig, "a language model as judge")


@dataclass(kw_only=True, slots=True)
class PerformanceConfig:
    """How speed and memory are measured."""

    enabled: bool = setting(True, "measure speed and memory after the answers")
    concurrency: list[int] = setting([1, 8, 32], "requests at a time, one measurement each")
    num_rounds: int = number(3, ge=1, le=100, doc="repeats; the systems take turns in each")
    max_new_tokens: int = number(32, ge=2, le=4096, doc="tokens of a measured answer")

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Yield what cannot be measured."""
        if not self.concurrency or min(self.concurrency) < 1:
            yield "concurrency", f"must be a list of numbers >= 1, but got {self.concurrency}"


@dataclass(kw_only=True, slots=True)
class EndpointConfig:
    """How served systems (endpoint:URL) are asked."""

    api_key_env: str = setting("EVQA_API_KEY", "environment variable that holds the key")
    timeout_s: float = number(60.0, gt=0, doc="for one answer, and between two pieces of it")
    max_retries: int = number(2, ge=0, le=20, doc="of a failed request")
    max_in_flight: int = number(8, ge=1, le=1024, doc="questions asked at a time")
