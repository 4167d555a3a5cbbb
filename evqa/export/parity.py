"""The parity gate: the merged model must say what the adapter on its base says.

The reference answers each prompt greedily; both models then score that same answer. Shapes:
``log_probs`` is (answer tokens, vocabulary), row i predicting answer token i.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

from evqa.errors import GateError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evqa.config.serving import ParityConfig


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
    """

    num_questions: int
    num_tokens: int
    prompt_mismatches: int
    top1_agreement: float
    kl_nats: float
    answer_agreement: float

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

    rows = list(_compare_each(observations, candidate))
    agreements = np.concatenate([agreement for agreement, _, _ in rows])
    divergences = np.concatenate([divergence for _, divergence, _ in rows])
    return ParityReport(
        num_questions=len(rows),
        num_tokens=len(agreements),
        prompt_mismatches=sum(
            candidate.prompt_tokens(seen.question) != seen.prompt for seen in observations
        ),
        top1_agreement=float(agreements.mean()),
        kl_nats=float(divergences.mean()),
        answer_agreement=float(np.mean([same for _, _, same in rows])),
    )


def _compare_each(
    observations: Sequence[Observation], candidate: Generator
) -> Iterator[tuple[Any, Any, bool]]:
    import numpy as np

    for seen in observations:
        scores = candidate.log_probs(seen.prompt, seen.answer)
        agreement = seen.log_probs.argmax(axis=-1) == scores.argmax(axis=-1)
        with np.errstate(invalid="ignore"):  # 0 · log 0 counts as 0
            terms = np.exp(seen.log_probs) * (seen.log_probs - scores)
        divergence = np.where(np.isneginf(seen.log_probs), 0.0, terms).sum(axis=-1)
        same = candidate.greedy(seen.prompt, len(seen.answer)) == seen.answer
        yield agreement, divergence, same


def check_parity(report: ParityReport, config: "ParityConfig") -> None:
    """Refuse a merged model that says something else than the adapter on its base.

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
        raise GateError(
            f"parity: top-1 agreement {report.top1_agreement:.4f} is below "
            f"export.parity.min_top1_agreement={config.min_top1_agreement:g}; nothing registered"
        )
    if not report.kl_nats <= config.max_kl_nats:
        raise GateError(
            f"parity: KL {report.kl_nats:.2e} nats is above "
            f"export.parity.max_kl_nats={config.max_kl_nats:g}; nothing registered"
        )
