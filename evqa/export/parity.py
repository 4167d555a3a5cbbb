"""The parity gate: the merged model must say what the adapter on its base says.

The reference answers each prompt greedily; both models then score that same answer. Shapes:
``log_probs`` is (answer tokens, vocabulary), row i predicting answer token i.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

from evqa.errors import GateError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evqa.config.serving import ThresholdsConfig

MAX_LOG_RATIO = 700.0  # e^700 is still a float


class Generator(Protocol):
    """A model with its tokenizer, as parity sees it."""

    def prompt_tokens(self, question: str) -> list[int]:
        """Return the token ids of a user's question in the chat template, answer to follow."""
        ...

    def greedy(self, prompt: Sequence[int], max_new_tokens: int) -> list[int]:
        """Return the greedy answer's token ids, its end token included."""
        ...

    def log_probs(self, prompt: Sequence[int], answer: Sequence[int]) -> "NDArray[np.float32]":
        """Return log-probabilities over the vocabulary at each token of ``answer``."""
        ...


@dataclass(frozen=True, slots=True)
class Observation:
    """One prompt, the reference's greedy answer, and the scores of that answer."""

    question: str
    prompt: list[int]
    answer: list[int]
    log_probs: "NDArray[np.float32]"


@dataclass(frozen=True, slots=True, kw_only=True)
class ParityReport:
    """How far the merged model is from the adapter on its base.

    Attributes:
        prompt_mismatches: Questions whose prompt token ids differ.
        top1_agreement: Share of answer tokens with the same first choice.
        kl_nats: Mean KL(reference || merged) over answer tokens, nats.
        answer_agreement: Share of questions with the identical greedy answer.
        perplexity_ratio: Perplexity that the candidate gives the reference's answers, divided by
            the reference's own.
    """

    num_questions: int
    num_tokens: int
    prompt_mismatches: int
    top1_agreement: float
    kl_nats: float
    answer_agreement: float
    perplexity_ratio: float

    def to_dict(self) -> dict[str, Any]:
        """Return the report as the version's lineage keeps it."""
        return asdict(self)


def observe(
    reference: Generator, questions: Sequence[str], max_new_tokens: int
) -> list[Observation]:
    """Let the reference answer every question; the model may be freed afterwards."""
    observations = []
    for question in questions:
        prompt = reference.prompt_tokens(question)
        answer = reference.greedy(prompt, max_new_tokens)
        scores = reference.log_probs(prompt, answer)
        observations.append(Observation(question, prompt, answer, scores))
    return observations


def compare(observations: Sequence[Observation], candidate: Generator) -> ParityReport:
    """Measure the candidate against what the reference was observed to say."""
    import numpy as np

    rows = [_compare_one(seen, candidate) for seen in observations]
    surprises = np.concatenate([row.surprise_nats for row in rows])
    return ParityReport(
        num_questions=len(rows),
        num_tokens=len(surprises),
        prompt_mismatches=sum(
            candidate.prompt_tokens(seen.question) != seen.prompt for seen in observations
        ),
        top1_agreement=float(np.concatenate([row.agrees for row in rows]).mean()),
        kl_nats=float(np.concatenate([row.kl_nats for row in rows]).mean()),
        answer_agreement=float(np.mean([row.same_answer for row in rows])),
        perplexity_ratio=float(np.exp(min(surprises.mean(), MAX_LOG_RATIO))),
    )


@dataclass(frozen=True, slots=True)
class _Row:
    """One question compared; arrays have one entry an answer token.

    Attributes:
        agrees: Whether both have the same first choice.
        kl_nats: KL(reference || candidate).
        surprise_nats: Reference's log-probability of the token, minus the candidate's.
        same_answer: Whether the greedy answers are the same.
    """

    agrees: Any
    kl_nats: Any
    surprise_nats: Any
    same_answer: bool


def _compare_one(seen: Observation, candidate: Generator) -> _Row:
    import numpy as np

    scores = candidate.log_probs(seen.prompt, seen.answer)
    with np.errstate(invalid="ignore"):  # 0 · log 0 counts as 0
        terms = np.exp(seen.log_probs) * (seen.log_probs - scores)
    said = np.arange(len(seen.answer)), np.asarray(seen.answer)
    return _Row(
        agrees=seen.log_probs.argmax(axis=-1) == scores.argmax(axis=-1),
        kl_nats=np.where(np.isneginf(seen.log_probs), 0.0, terms).sum(axis=-1),
        surprise_nats=seen.log_probs[said] - scores[said],
        same_answer=candidate.greedy(seen.prompt, len(seen.answer)) == seen.answer,
    )


def check_parity(
    report: ParityReport,
    config: "ThresholdsConfig",
    name: str = "export.parity",
) -> None:
    """Refuse a model that says something else than the adapter on its base.

    Args:
        report: What was measured.
        config: ``export.parity`` or ``export.quantized_parity``.
        name: Which of the two, for the message.

    Raises:
        GateError: naming the first figure outside its threshold.
    """
    if report.prompt_mismatches:
        raise GateError(
            f"parity: {report.prompt_mismatches} of {report.num_questions} prompts have other "
            "token ids after merging; nothing registered"
        )
    # written so that NaN fails
    if not report.top1_agreement >= config.min_top1_agreement:
        bound = f"{name}.min_top1_agreement={config.min_top1_agreement:g}"
        raise _outside(f"top-1 agreement {report.top1_agreement:.4g} is below {bound}")
    if not report.kl_nats <= config.max_kl_nats:
        bound = f"{name}.max_kl_nats={config.max_kl_nats:g}"
        raise _outside(f"KL {report.kl_nats:.3g} nats is above {bound}")
    if not report.perplexity_ratio <= config.max_perplexity_ratio:
        bound = f"{name}.max_perplexity_ratio={config.max_perplexity_ratio:g}"
        raise _outside(f"perplexity ratio {report.perplexity_ratio:.4g} is above {bound}")


def _outside(what: str) -> GateError:
    return GateError(f"parity: {what}; nothing registered")
