"""A served system (OpenAI-compatible URL), asked by streaming through the openai client."""

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from evqa.config.evaluation import EndpointConfig, GenerationConfig
from evqa.errors import OutsideError, UserError
from evqa.evaluation.predict import Batch, Timing
from evqa.files import sha256_bytes
from evqa.models.generate import DEFAULT_MAX_NEW_TOKENS
from evqa.records import Prediction, Question

NO_KEY = "none"  # the client refuses to start without one; a server that asks for none ignores it


@dataclass(frozen=True, slots=True)
class Streamed:
    """One streamed answer, with the moment (ms after the request) at which each piece came."""

    text: str
    finish_reason: str
    num_prompt_tokens: int
    num_completion_tokens: int
    moments_ms: list[float]
    total_ms: float


class EndpointAnswerer:
    """A model behind an OpenAI-compatible URL.

    Args:
        name: The system's name in reports.
        url: Up to and including ``/v1``.
        model: The model's name there; null takes the first that it lists.
        config: Key, time-outs, requests at a time.
        generation: Length and sampling.

    Raises:
        UserError: the key is refused, or the model is not served there.
        OutsideError: the endpoint does not answer.
    """

    def __init__(
        self,
        name: str,
        url: str,
        model: str | None,
        config: EndpointConfig,
        generation: GenerationConfig,
    ) -> None:
        from openai import OpenAI

        self._name = name
        self.url = url
        self._config = config
        self._generation = generation
        self._client = OpenAI(
            base_url=url,
            api_key=os.environ.get(config.api_key_env) or NO_KEY,
            timeout=config.timeout_s,
            max_retries=config.max_retries,
        )
        self.model = self._find_model(model)

    @property
    def name(self) -> str:
        """The system's name in reports."""
        return self._name

    def _find_model(self, wanted: str | None) -> str:
        served = self._guarded(
            "listing its models", lambda: [m.id for m in self._client.models.list()]
        )
        if not served:
            raise OutsideError(f"{self.url}: serves no model")
        if wanted is not None and wanted not in served:
            raise UserError(
                f"{self.name}: {self.url} does not serve {wanted!r}, only {', '.join(served)}"
            )
        return wanted or str(served[0])

    def _guarded(self, doing: str, work: Callable[[], Any]) -> Any:
        """Translate what the client raises into one line."""
        import openai

        try:
            return work()
        except openai.APITimeoutError:
            problem = f"no answer within {self._config.timeout_s:g} s (endpoint.timeout_s)"
        except openai.APIConnectionError as error:
            problem = f"cannot be reached ({error.__cause__ or error})"
        except openai.AuthenticationError:
            raise UserError(
                f"{self.url}: refuses the key; put a valid one into the environment variable "
                f"{self._config.api_key_env} (endpoint.api_key_env)"
            ) from None
        except (openai.BadRequestError, openai.NotFoundError) as error:
            raise UserError(f"{self.url}: {doing}: {_first_line(error)}") from None
        except openai.APIStatusError as error:
            problem = f"HTTP {error.status_code}: {_first_line(error)}"
        except (openai.APIError, ValueError, OSError) as error:
            problem = f"{type(error).__name__}: {_first_line(error)}"
        raise OutsideError(f"{self.url}: {doing}: {problem}")

    def _stream(self, question: str, max_new_tokens: int, seed: int) -> Streamed:
        """Ask one question and follow the answer to its end."""
        started = time.perf_counter()
        moments: list[float] = []
        pieces: list[str] = []
        finish, usage = None, None
        chunks = self._client.chat.completions.create(
            model=self.model,
            messages=[{"role": "user", "content": question}],
            max_tokens=max_new_tokens,
            temperature=self._generation.temperature,
            top_p=self._generation.top_p,
            seed=seed,
            stream=True,
            stream_options={"include_usage": True},
        )
        for chunk in chunks:
            usage = chunk.usage or usage
            for choice in chunk.choices:
                if choice.delta.content:
                    pieces.append(choice.delta.content)
                    moments.append(1000 * (time.perf_counter() - started))
                finish = choice.finish_reason or finish
        if finish is None:
            raise ValueError("the stream broke off before its end")
        total = 1000 * (time.perf_counter() - started)
        return Streamed(
            text="".join(pieces),
            finish_reason=finish,
            num_prompt_tokens=usage.prompt_tokens if usage else 0,
            num_completion_tokens=usage.completion_tokens if usage else len(pieces),
            moments_ms=moments,
            total_ms=total,
        )

    def _asked(self, question: str, max_new_tokens: int, seed: int) -> Streamed:
        """Ask again where a stream broke off; the client itself retries what fails before one."""
        for _ in range(self._config.max_retries):
            try:
                return self._stream(question, max_new_tokens, seed)
            except ValueError:
                continue
        return self._stream(question, max_new_tokens, seed)

    def batches(self, questions: Sequence[Question], seed: int) -> list[Batch]:
        """Return the benchmark in batches of as many questions as are asked at a time."""
        size = self._config.max_in_flight
        return [
            Batch(list(questions[start : start + size]), partial(self._ask, seed), divisible=True)
            for start in range(0, len(questions), size)
        ]

    def _ask(self, seed: int, questions: Sequence[Question]) -> Iterator[Prediction]:
        """Yield the answers that came; raise the first failure after them."""
        length = self._generation.max_new_tokens or DEFAULT_MAX_NEW_TOKENS
        with ThreadPoolExecutor(len(questions)) as pool:
            running = [pool.submit(self._asked, q.question, length, seed) for q in questions]
        failed = []
        for question, future in zip(questions, running, strict=True):
            if future.exception() is None:
                yield self._prediction(question, future, seed)
            else:
                failed.append((question, future))
        for question, future in failed[:1]:
            self._guarded(f"question {question.id}", future.result)

    def _prediction(self, question: Question, future: "Future[Streamed]", seed: int) -> Prediction:
        answer = future.result()
        message = json.dumps([{"role": "user", "content": question.question}], ensure_ascii=False)
        return Prediction(
            question_id=question.id,
            system=self.name,
            text=answer.text.strip(),
            num_prompt_tokens=answer.num_prompt_tokens,
            num_completion_tokens=answer.num_completion_tokens,
            ttft_ms=round(answer.moments_ms[0], 3) if answer.moments_ms else None,
            latency_ms=round(answer.total_ms, 3),
            seed=seed,
            finish_reason=answer.finish_reason,
            prompt_sha256=sha256_bytes(message.encode()),
        )

    def time(self, questions: Sequence[str], max_new_tokens: int) -> list[Timing]:
        """Ask all questions at once and tell when the pieces of each answer came."""
        with ThreadPoolExecutor(len(questions)) as pool:
            running = [pool.submit(self._asked, text, max_new_tokens, 0) for text in questions]
            return [_timing(self._guarded("measuring", future.result)) for future in running]


def _timing(answer: Streamed) -> Timing:
    """A piece may hold several tokens: the time between pieces is shared among them."""
    moments = answer.moments_ms or [answer.total_ms]
    later = max(1, answer.num_completion_tokens - 1)
    mean_gap = (moments[-1] - moments[0]) / later
    return Timing(moments[0], [mean_gap] * later, answer.num_completion_tokens, answer.total_ms)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
