"""A model held in this process, as a system under evaluation.

Shapes: B prompts, T tokens, V vocabulary.
"""

import contextlib
import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from evqa.config.evaluation import GenerationConfig
from evqa.evaluation.predict import Batch, Timing
from evqa.models.generate import Generator, inference_mode
from evqa.records import Prediction, Question

Toggle = Callable[[], contextlib.AbstractContextManager[Any]]


@dataclass(frozen=True, slots=True)
class LocalAnswerer:
    """A loaded model with its tokenizer.

    Attributes:
        name: The system's name in reports.
        model: A causal language model; with a peft adapter, ``toggle`` may switch it off.
        toggle: Entered around everything that is asked.
    """

    name: str
    model: Any
    tokenizer: Any
    generation: GenerationConfig
    toggle: Toggle = contextlib.nullcontext

    def batches(self, questions: Sequence[Question], seed: int) -> list[Batch]:
        """Return the benchmark in batches of like length, each asked when it is called."""
        generator = Generator(self.model, self.tokenizer, self.generation, seed)
        places = generator.batches(generator.prompts([q.question for q in questions]))
        return [
            Batch(
                [questions[place] for place in batch],
                lambda chosen: self._predict(generator, chosen),
            )
            for batch in places
        ]

    def _predict(self, generator: Generator, questions: Sequence[Question]) -> list[Prediction]:
        with self.toggle():
            answers = generator.answer([question.question for question in questions])
        return [
            Prediction(
                question_id=question.id,
                system=self.name,
                text=answer.text,
                num_prompt_tokens=answer.num_prompt_tokens,
                num_completion_tokens=answer.num_completion_tokens,
                ttft_ms=None,
                latency_ms=round(answer.latency_ms, 3),
                seed=generator.seed,
                finish_reason=answer.finish_reason,
                prompt_sha256=answer.prompt_sha256,
            )
            for question, answer in zip(questions, answers, strict=True)
        ]

    def time(self, questions: Sequence[str], max_new_tokens: int) -> list[Timing]:
        """Answer all questions at once, to ``max_new_tokens`` each, and return when tokens came.

        The end token is passed over, so that every system makes the same number of tokens.
        """
        import torch
        from transformers import GenerationConfig as Settings

        generator = Generator(self.model, self.tokenizer, self.generation, 0)
        ids, mask = padded(generator.prompts(questions), self.tokenizer.pad_token_id)
        times: list[float] = []
        with self.toggle(), inference_mode(self.model):
            started = time.perf_counter()
            self.model.generate(
                input_ids=torch.tensor(ids, device=self.model.device),
                attention_mask=torch.tensor(mask, device=self.model.device),
                generation_config=Settings(
                    max_new_tokens=max_new_tokens,
                    do_sample=False,
                    eos_token_id=None,
                    pad_token_id=self.tokenizer.pad_token_id,
                ),
                stopping_criteria=[_Clock(times)],
            )
        after = [1000 * (moment - started) for moment in times]
        return [Timing(after[0], _gaps(after), len(after), after[-1]) for _ in questions]

    def reference_nll(self, questions: Sequence[Question]) -> Iterator[tuple[float, int]]:
        """Yield each reference answer's summed negative log-likelihood (nats) and its tokens.

        Logits are computed at the answer's positions only: at most one answer × V.
        """
        import torch

        from evqa.models.chat import IGNORED_LABEL, labelled_ids, question_messages

        for question in questions:
            reply = {"role": "assistant", "content": question.answer}
            made = labelled_ids(self.tokenizer, [*question_messages(question.question), reply])
            kept = [at for at, label in enumerate(made.labels) if label != IGNORED_LABEL]
            ids = torch.tensor([made.input_ids], device=self.model.device)
            before = torch.tensor(kept, device=self.model.device) - 1
            with self.toggle(), inference_mode(self.model):
                logits = self.model(input_ids=ids, logits_to_keep=before).logits[0]
            loss = torch.nn.functional.cross_entropy(
                logits.float(), ids[0, before + 1], reduction="sum"
            )
            yield float(loss), len(kept)


class _Clock:
    """A stopping criterion that never stops, and notes when each token was made."""

    def __init__(self, times: list[float]) -> None:
        self._times = times

    def __call__(self, input_ids: Any, _scores: Any, **_: Any) -> Any:
        import torch

        if input_ids.is_cuda:
            torch.cuda.synchronize()
        self._times.append(time.perf_counter())
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)


def padded(prompts: Sequence[Sequence[int]], pad: int) -> tuple[list[list[int]], list[list[int]]]:
    """Return token ids padded on the left to one length, and their attention mask (B × T)."""
    width = max(map(len, prompts))
    ids = [[pad] * (width - len(row)) + list(row) for row in prompts]
    mask = [[0] * (width - len(row)) + [1] * len(row) for row in prompts]
    return ids, mask


def _gaps(moments: Sequence[float]) -> list[float]:
    return [later - earlier for earlier, later in itertools.pairwise(moments)]


def perplexity(losses: Sequence[tuple[float, int]]) -> float | None:
    """Return exp of the mean loss a token; null without tokens, infinite where it overflows."""
    tokens = sum(count for _, count in losses)
    if not tokens:
        return None
    mean = sum(loss for loss, _ in losses) / tokens
    return math.exp(mean) if mean < 700 else math.inf
