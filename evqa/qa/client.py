"""Ask an OpenAI-compatible server through the Together SDK, within the budget.

The SDK's own retries are off: every attempt is ours, reserved in the journal before it is sent.
"""

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from evqa.config.data import QAConfig
from evqa.errors import OutsideError, UserError
from evqa.files import sha256_json
from evqa.qa.spending import Journal, Prices

# The most tokens a message can have: one for each byte, and what a chat template puts around it.
TEMPLATE_TOKENS = 64
MAX_WAIT_S = 60.0
_RETRIED_STATUS = frozenset({408, 409, 425, 429, 500, 502, 503, 504})

Messages = list[dict[str, str]]
Sleep = Callable[[float], Awaitable[None]]


class Completions(Protocol):
    """What is used of the SDK: one call that returns a completion."""

    async def create(self, **request: Any) -> Any:
        """Send a chat completion request."""


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


def open_completions(config: QAConfig) -> Completions:
    """Return the SDK's chat completions for the configured server."""
    from together import AsyncTogether

    client = AsyncTogether(
        api_key=os.environ[config.api_key_env],
        base_url=str(config.base_url).rstrip("/"),
        max_retries=0,
        timeout=config.request_timeout_s,
    )
    return client.chat.completions  # type: ignore[no-any-return]


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

    async def ask(self, messages: Messages, response_format: dict[str, Any]) -> str:
        """Return the answer's text, from the journal when it was bought before.

        Raises:
            GateError: when the budget does not allow another attempt.
            OutsideError: when the server fails to the last attempt.
        """
        request = {
            "model": self.config.model,
            "messages": messages,
            "response_format": response_format,
            "max_tokens": self.config.max_completion_tokens,
            "temperature": self.config.temperature,
        }
        key = sha256_json({**request, "base_url": self.config.base_url})
        bought = self.journal.answer(key)
        if bought is not None:
            return str(bought["text"])
        return await self._buy(key, request)

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
                completion = await self.completions.create(**request)
            except (TogetherError, OSError) as error:
                last = error
                if self._is_refused(error):  # an answer that says no is not billed
                    self.journal.settle(number, key, 0, None)
                if not _is_transient(error):
                    break
                continue
            text = _text(completion)
            self.journal.settle(number, key, _cost(completion, prices, most), {"text": text})
            return text
        raise OutsideError(
            f"qa=together: {self.config.base_url} failed: {_one_line(last)}; "
            "what was bought is kept, run it again"
        )

    @staticmethod
    def _is_refused(error: Exception) -> bool:
        return isinstance(getattr(error, "status_code", None), int)


def _most_tokens(request: dict[str, Any]) -> int:
    sizes = [len(message["content"].encode()) + TEMPLATE_TOKENS for message in request["messages"]]
    return sum(sizes) + len(str(request["response_format"]).encode())


def _is_transient(error: Exception) -> bool:
    status = getattr(error, "status_code", None)
    return status is None or status in _RETRIED_STATUS


def _wait_s(attempt: int, error: Exception) -> float:
    """Return the seconds before the next attempt: Retry-After, else doubling with jitter."""
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    asked = str(headers.get("retry-after", "")).strip()
    if asked.replace(".", "", 1).isdigit():
        return min(float(asked), MAX_WAIT_S)
    return min(random.uniform(0.5, 1.0) * 2.0 ** (attempt - 1), MAX_WAIT_S)  # noqa: S311  no secret


def _text(completion: Any) -> str:
    choices = getattr(completion, "choices", None) or []
    message = getattr(choices[0], "message", None) if choices else None
    return str(getattr(message, "content", None) or "")


def _cost(completion: Any, prices: Prices, most: int) -> int:
    """Return what an answer cost; a server that tells no plausible usage gets the maximum."""
    usage = getattr(completion, "usage", None)
    tokens = [getattr(usage, name, None) for name in ("prompt_tokens", "completion_tokens")]
    if not all(isinstance(count, int) and count > 0 for count in tokens):
        return most
    cost = prices.micro_usd(int(tokens[0] or 0), int(tokens[1] or 0))
    return cost if cost <= most else most


def _one_line(error: Exception | None) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
