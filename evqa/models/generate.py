"""Answers from a loaded model: batched by length, greedy unless asked otherwise.

Shapes: B prompts, T prompt tokens after left padding, N new tokens.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from evqa.config.evaluation import GenerationConfig
from evqa.models.chat import ids_sha256, prompt_ids, question_messages

DEFAULT_MAX_NEW_TOKENS = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a model said to one question.

    Attributes:
        finish_reason: stop when the model ended its turn, length when it was cut.
        latency_ms: Wall time of the batch that the answer was made in.
    """

    text: str
    num_prompt_tokens: int
    num_completion_tokens: int
    latency_ms: float
    finish_reason: str
    prompt_sha256: str


@contextlib.contextmanager
def inference_mode(model: Any) -> Iterator[None]:
    """Put the model in eval mode without gradients, and put its mode back afterwards."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)


class Generator:
    """Answers questions with one loaded model and tokenizer.

    Args:
        model: A causal language model, with or without adapter.
        tokenizer: Its tokenizer, with the training system prompt as its template's default.
        config: Length, sampling, batch size.
        seed: Of the sampling; greedy answers do not depend on it.
    """

    def __init__(self, model: Any, tokenizer: Any, config: GenerationConfig, seed: int) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.config = config
        self.seed = seed

    def answer(
        self, questions: Sequence[str], on_progress: Callable[[int], None] = lambda _count: None
    ) -> list[Answer]:
        """Return one answer a question, in the order given.

        Args:
            questions: What to ask, each on its own.
            on_progress: Called with the number of answers that a batch has added.
        """
        prompts = self.prompts(questions)
        answers: dict[int, Answer] = {}
        with inference_mode(self.model):
            for batch in self.batches(prompts):
                made = self._answer_batch([prompts[index] for index in batch])
                answers.update(zip(batch, made, strict=True))
                on_progress(len(batch))
        return [answers[index] for index in range(len(prompts))]

    def prompts(self, questions: Sequence[str]) -> list[list[int]]:
        """Return each question's token ids in the chat template, answer to follow."""
        return [prompt_ids(self.tokenizer, question_messages(text)) for text in questions]

    def batches(self, prompts: Sequence[Sequence[int]]) -> list[list[int]]:
        """Return which prompts are answered together, by their places: of like length, in order.

        Padding moves the last bits of an answer's scores, so the same prompts must meet in the
        same batches for the same answers, also where half of them were answered before.
        """
        order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
        size = self.config.batch_size or max(1, len(order))
        return [order[start : start + size] for start in range(0, len(order), size)]

    def _answer_batch(self, prompts: list[list[int]]) -> list[Answer]:
        width = max(map(len, prompts))
        pad = self.tokenizer.pad_token_id
        device = self.model.device
        padded = [[pad] * (width - len(ids)) + ids for ids in prompts]
        mask = [[0] * (width - len(ids)) + [1] * len(ids) for ids in prompts]
        started = time.perf_counter()
        torch.manual_seed(self.seed)
        output = self.model.generate(
            input_ids=torch.tensor(padded, device=device),
            attention_mask=torch.tensor(mask, device=device),
            generation_config=self._settings(),
        )
        latency_ms = 1000 * (time.perf_counter() - started)
        completions = output[:, width:].tolist()
        return [
            self._finish(prompt, completion, latency_ms)
            for prompt, completion in zip(prompts, completions, strict=True)
        ]

    def _settings(self) -> Any:
        from transformers import GenerationConfig as Settings

        sampling: dict[str, Any] = {"do_sample": False}
        if self.config.temperature > 0:
            sampling = {
                "do_sample": True,
                "temperature": self.config.temperature,
                "top_p": self.config.top_p,
                "top_k": 0,
            }
        return Settings(
            max_new_tokens=self.config.max_new_tokens or DEFAULT_MAX_NEW_TOKENS,
            eos_token_id=self.stop_ids(),
            pad_token_id=self.tokenizer.pad_token_id,
            use_cache=True,
            **sampling,
        )

    def stop_ids(self) -> list[int]:
        """Return the tokens that end a turn: the tokenizer's, and those the model lists."""
        listed = getattr(self.model.generation_config, "eos_token_id", None)
        ids = [listed] if isinstance(listed, int) else list(listed or [])
        return sorted({*ids, self.tokenizer.eos_token_id})

    def _finish(self, prompt: list[int], completion: list[int], latency_ms: float) -> Answer:
        stops = set(self.stop_ids())
        end = next((index for index, token in enumerate(completion) if token in stops), None)
        words = completion[:end]
        return Answer(
            text=self.tokenizer.decode(words, skip_special_tokens=True).strip(),
            num_prompt_tokens=len(prompt),
            num_completion_tokens=len(words) + (end is not None),
            latency_ms=latency_ms,
            finish_reason="length" if end is None else "stop",
            prompt_sha256=ids_sha256(prompt),
        )
