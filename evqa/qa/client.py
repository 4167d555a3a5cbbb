"""Ask an OpenAI-compatible server through the Together SDK, within the budget.

The SDK's own retries are off: every attempt is ours, reserved in the journal before it is sent.
"""

import asyncio
import os
import random
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from evqa.config.data import QAConfig
from evqa.errors import EvqaError, OutsideError, UserError
from evqa.files import sha256_json
from evqa.progress import progress
from evqa.qa.prompt import Messages
from evqa.qa.spending import Journal, Prices

# The most tokens a message can have: one for each byte, and what a chat template puts around it.
TEMPLATE_TOKENS = 64
FIRST_WAIT_S, MAX_WAIT_S = 1.0, 60.0
# Answers that say no before any work: they are not billed. After a 500, 502 or 504 the model may
# have run, so those stay charged at their maximum.
UNBILLED_STATUS = frozenset({400, 401, 402, 403, 404, 405, 409, 413, 415, 422, 425, 429, 503})
MIN_TOKENS_PER_WORD = 0.75  # no tokenizer makes fewer tokens of English than this
_RETRIED_STATUS = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})

Sleep = Callable[[float], Awaitable[None]]


class Completions(Protocol):
    """What is used of the SDK: a call that returns a completion, and an end."""

    async def create(self, **request: Any) -> Any:
        """Send a chat completion request."""

    async def close(self) -> None:
        """Close the connections."""


def check_ready(config: QAConfig) -> None:
    """Refuse to start without key, model, server or price, before anything is fetched.

    Raises:
        UserError: naming what to set.
    """
    if not os.environ.get(config.api_key_env):
        raise UserError(
            f"qa=together needs an API key: export {config.api_key_env}=… "
            "(or qa.api_key_env=NAME for another variable), or use qa=extractive"
        )
    if not config.model or not config.base_url:
        missing = "qa.model" if not config.model else "qa.base_url"
        raise UserError(f"{missing}: must be set for qa=together")
    if config.base_url.rstrip("/").endswith("/v1"):
        raise UserError(f"qa.base_url={config.base_url}: leave out /v1, the SDK adds it")
    prices_of(config)


def prices_of(config: QAConfig) -> Prices:
    """Return the model's prices.

    Raises:
        UserError: when one is unknown: a budget cannot be kept without it.
    """
    for name in ("usd_per_million_prompt_tokens", "usd_per_million_completion_tokens"):
        if getattr(config, name) is None:
            raise UserError(
                f"qa.{name}: unknown for {config.model}; set it, or the budget cannot be kept"
            )
    return Prices(
        float(config.usd_per_million_prompt_tokens or 0),
        float(config.usd_per_million_completion_tokens or 0),
    )


class SdkCompletions:
    """The Together SDK's chat completions; the client is opened at the first call of a loop.

    Args:
        config: Server, key and time-outs.
    """

    def __init__(self, config: QAConfig) -> None:
        self._config = config
        self._client: Any = None

    async def create(self, **request: Any) -> Any:
        """Send a chat completion request."""
        if self._client is None:
            from together import AsyncTogether

            self._client = AsyncTogether(
                api_key=os.environ[self._config.api_key_env],
                base_url=str(self._config.base_url).rstrip("/"),
                max_retries=0,
                timeout=self._config.request_timeout_s,
            )
        return await self._client.chat.completions.create(**request)

    async def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        if self._client is not None:
            await self._client.close()
            self._client = None


@dataclass(slots=True)
class Buyer:
    """Buys answers within the journal's ceiling, each once.

    Args:
        completions: The SDK.
        journal: Open.
        config: Model, retries and limits.
        sleep: Waits between attempts; tests give a virtual clock.
    """

    completions: Completions
    journal: Journal
    config: QAConfig
    sleep: Sleep = asyncio.sleep
    num_tokens: int = 0  # of the answers bought by this process, prompts included

    def _request(self, messages: Messages, shape: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        request = {
            "model": self.config.model,
            "messages": messages,
            "response_format": shape,
            "max_tokens": self.config.max_completion_tokens,
            "temperature": self.config.temperature,
        }
        return sha256_json({**request, "base_url": self.config.base_url}), request

    def bought(self, messages: Messages, shape: dict[str, Any]) -> str | None:
        """Return the answer's text when it is in the journal, null when it was not bought."""
        found = self.journal.answer(self._request(messages, shape)[0])
        return None if found is None else str(found["text"])

    async def ask(self, messages: Messages, shape: dict[str, Any]) -> str:
        """Return the answer's text, from the journal when it was bought before.

        Raises:
            GateError: when the budget does not allow another attempt.
            OutsideError: when the server fails to the last attempt.
        """
        key, request = self._request(messages, shape)
        found = self.journal.answer(key)
        return await self._buy(key, request) if found is None else str(found["text"])

    async def _buy(self, key: str, request: dict[str, Any]) -> str:
        from together import TogetherError

        prices = prices_of(self.config)
        most = prices.micro_usd(_most_tokens(request), self.config.max_completion_tokens)
        last: Exception | None = None
        for attempt in range(self.config.max_retries + 1):
            if last is not None:
                await self.sleep(_wait_s(attempt, last))
            number = self.journal.reserve(key, most)
            try:
                completion = await self._send(request)
            except (TogetherError, OSError, ValueError) as error:
                last = error
                if _status(error) in UNBILLED_STATUS:
                    self.journal.settle(number, key, 0, None)
                if not _is_transient(error):
                    break
                continue
            text = _text(completion)
            cost, tokens = _cost(completion, request, text, prices, most)
            self.journal.settle(number, key, cost, {"text": text})
            self.num_tokens += tokens
            return text
        raise OutsideError(
            f"qa=together: {self.config.base_url} failed: {_one_line(last)}; "
            "what was bought is kept, run it again"
        )

    async def _send(self, request: dict[str, Any]) -> Any:
        """Send a request; a server that trickles for ever is cut off like a silent one."""
        async with asyncio.timeout(self.config.request_timeout_s):
            return await self.completions.create(**request)


async def ask_all(
    buyer: Buyer,
    requests: Iterable[Messages],
    shape: dict[str, Any],
    title: str,
    *,
    total: int | None = None,
    keep: bool = True,
) -> list[str]:
    """Ask for every request, so many at a time, and return the answers in order.

    When one fails, no more is sent; those in flight are waited for, so that what was paid for is
    kept. Then the first failure is raised.

    Args:
        buyer: Holds journal and limits.
        requests: Read as they are sent.
        shape: The JSON schema of the answers.
        title: Of the progress bar.
        total: Number of requests, when it is known.
        keep: False when the answers are read from the journal later: an empty list is returned.
    """
    queue = enumerate(requests)
    texts: dict[int, str] = {}
    failures: list[Exception] = []
    with progress(title, total if total is not None else _length(requests)) as bar:

        async def work() -> None:
            for number, messages in queue:
                if failures:
                    return
                try:
                    text = await buyer.ask(messages, shape)
                except EvqaError as error:
                    failures.append(error)
                    return
                if keep:
                    texts[number] = text
                bar.add(1, f"{buyer.num_tokens:,} tokens, ${buyer.journal.charged_usd:.4f}")

        config = buyer.config
        try:
            await asyncio.gather(*(work() for _ in range(config.max_concurrent_requests)))
        finally:
            await buyer.completions.close()
    if failures:
        raise failures[0]
    return [texts[number] for number in sorted(texts)]


def _length(requests: Iterable[Messages]) -> int | None:
    return len(requests) if isinstance(requests, list) else None


def _most_tokens(request: dict[str, Any]) -> int:
    sizes = [len(message["content"].encode()) + TEMPLATE_TOKENS for message in request["messages"]]
    return sum(sizes) + len(str(request["response_format"]).encode())


def _status(error: Exception) -> int | None:
    status = getattr(error, "status_code", None)
    return status if isinstance(status, int) else None


def _is_transient(error: Exception) -> bool:
    status = _status(error)
    return status is None or status in _RETRIED_STATUS


def _wait_s(attempt: int, error: Exception) -> float:
    """Return the seconds before the next attempt: Retry-After, else doubling with jitter."""
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    asked = str(headers.get("retry-after", "")).strip()
    if asked.replace(".", "", 1).isdigit():
        return min(float(asked), MAX_WAIT_S)
    return min(random.uniform(0.5, 1.0) * FIRST_WAIT_S * 2.0 ** (attempt - 1), MAX_WAIT_S)  # noqa: S311  no secret


def _text(completion: Any) -> str:
    choices = getattr(completion, "choices", None) or []
    message = getattr(choices[0], "message", None) if choices else None
    return str(getattr(message, "content", None) or "")


def _cost(
    completion: Any, request: dict[str, Any], text: str, prices: Prices, most: int
) -> tuple[int, int]:
    """Return what an answer cost, in millionths of a dollar, and its tokens.

    A server that tells no plausible usage is charged the maximum: none at all, more than was
    reserved, or fewer tokens than there are words.
    """
    usage = getattr(completion, "usage", None)
    told = [getattr(usage, name, None) for name in ("prompt_tokens", "completion_tokens")]
    if not all(isinstance(count, int) and not isinstance(count, bool) for count in told):
        return most, 0
    prompt, completed = int(told[0] or 0), int(told[1] or 0)
    num_words = sum(len(message["content"].split()) for message in request["messages"])
    if prompt < num_words * MIN_TOKENS_PER_WORD or completed < len(text.split()):
        return most, 0
    cost = prices.micro_usd(prompt, completed)
    return (cost, prompt + completed) if cost <= most else (most, 0)


def _one_line(error: Exception | None) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
