"""What a key may use: requests and tokens a minute, answers at once, tokens a month.

Requests and tokens a minute are token buckets (https://en.wikipedia.org/wiki/Token_bucket): they
hold a minute's worth and fill up evenly. A request takes an estimate of its tokens on entry; when
its answer is over the difference is given back or taken, so a bucket may be in debt for a while.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from evqa.serving.api_error import ApiError
from evqa.serving.keys import ApiKey

BYTES_PER_TOKEN = 4  # of English text, roughly; corrected when the answer is over
Headers = list[tuple[bytes, bytes]]


def this_month() -> str:
    """Return the current month, ``YYYY-MM``, UTC."""
    return datetime.now(UTC).strftime("%Y-%m")


@dataclass(slots=True)
class Bucket:
    """A token bucket.

    Attributes:
        level: What is left; negative while in debt.
        at_s: When that was, seconds (monotonic).
    """

    level: float
    at_s: float

    def fill(self, per_minute: int, now_s: float) -> None:
        """Let what has come since the last time flow in."""
        self.level = min(per_minute, self.level + (now_s - self.at_s) * per_minute / 60)
        self.at_s = now_s

    def wait_s(self, amount: float, per_minute: int) -> float:
        """Return how long it takes until the amount is there, seconds."""
        return max(0.0, (amount - self.level) * 60 / per_minute)


@dataclass(slots=True)
class Usage:
    """What one key has used."""

    requests: Bucket | None = None
    tokens: Bucket | None = None
    in_flight: int = 0
    month_tokens: int = 0


@dataclass(slots=True)
class Ticket:
    """Leave for one request; it is given back with the tokens that were used."""

    key: ApiKey
    estimate: int
    headers: Headers = field(default_factory=list)


class KeyLimiter:
    """Admits requests within the limits of their keys. One process counts for itself.

    Args:
        month_tokens: Tokens that each key (by id) has used in this month so far.
        clock: Seconds, monotonic.
        month: Names the current month.
    """

    def __init__(
        self,
        month_tokens: dict[str, int] | None = None,
        clock: Callable[[], float] = time.monotonic,
        month: Callable[[], str] = this_month,
    ) -> None:
        self._clock = clock
        self._month = month
        self._current_month = month()
        self._usage = {key: Usage(month_tokens=n) for key, n in (month_tokens or {}).items()}

    def admit(self, key: ApiKey, num_prompt_bytes: int, max_tokens: int) -> Ticket:
        """Take a request in.

        Args:
            key: Whose request it is.
            num_prompt_bytes: Size of its body, bytes.
            max_tokens: Longest answer that it asks for, tokens.

        Raises:
            ApiError: 429 with Retry-After and the limit headers.
        """
        estimate = num_prompt_bytes // BYTES_PER_TOKEN + max_tokens
        if key.unlimited:
            return Ticket(key, 0)
        usage = self._usage.setdefault(key.id, Usage())
        self._refuse_over_budget(key, usage)
        now_s = self._clock()
        if key.max_concurrent is not None and usage.in_flight >= key.max_concurrent:
            raise _refusal(f"{key.max_concurrent} requests at once", "concurrency_limit", 1.0, [])
        wanted = self._fill(key, usage, estimate, now_s)
        for what, bucket, amount, per_minute in wanted:
            wait_s = bucket.wait_s(amount, per_minute)
            if wait_s > 0:
                raise _refusal(
                    f"{per_minute} {what} a minute",
                    "rate_limit_exceeded",
                    wait_s,
                    limit_headers(wanted),
                )
        for _, bucket, amount, _per_minute in wanted:
            bucket.level -= amount
        usage.in_flight += 1
        return Ticket(key, estimate, limit_headers(wanted))

    def settle(self, ticket: Ticket, num_tokens: int) -> None:
        """Give the leave back and put the tokens that were used to account."""
        key = ticket.key
        if key.unlimited:
            return
        usage = self._usage[key.id]
        usage.in_flight -= 1
        usage.month_tokens += num_tokens
        if key.tokens_per_minute is not None and usage.tokens is not None:
            taken = min(ticket.estimate, key.tokens_per_minute)
            usage.tokens.level += taken - num_tokens

    def _fill(
        self, key: ApiKey, usage: Usage, estimate: int, now_s: float
    ) -> list[tuple[str, Bucket, int, int]]:
        wanted = []
        if (rate := key.requests_per_minute) is not None:
            usage.requests = usage.requests or Bucket(rate, now_s)
            usage.requests.fill(rate, now_s)
            wanted.append(("requests", usage.requests, 1, rate))
        if (rate := key.tokens_per_minute) is not None:
            usage.tokens = usage.tokens or Bucket(rate, now_s)
            usage.tokens.fill(rate, now_s)
            # one that asks for more than a minute's worth waits for a full bucket
            wanted.append(("tokens", usage.tokens, min(estimate, rate), rate))
        return wanted

    def _refuse_over_budget(self, key: ApiKey, usage: Usage) -> None:
        month = self._month()
        if month != self._current_month:
            self._current_month = month
            for other in self._usage.values():
                other.month_tokens = 0
        if key.monthly_tokens is not None and usage.month_tokens >= key.monthly_tokens:
            raise _refusal(
                f"{key.monthly_tokens} tokens in {month}",
                "insufficient_quota",
                seconds_to_next_month(),
                [],
            )


def limit_headers(wanted: list[tuple[str, Bucket, int, int]]) -> Headers:
    """Return the ``x-ratelimit-…`` headers that OpenAI's clients read."""
    headers = []
    for what, bucket, _, per_minute in wanted:
        values = {
            "limit": str(per_minute),
            "remaining": str(max(0, int(bucket.level))),
            "reset": f"{bucket.wait_s(per_minute, per_minute):.3f}s",
        }
        headers += [
            (f"x-ratelimit-{name}-{what}".encode(), value.encode())
            for name, value in values.items()
        ]
    return headers


def _refusal(limit: str, code: str, wait_s: float, headers: Headers) -> ApiError:
    return ApiError(
        429,
        f"this key's limit of {limit} is reached",
        "insufficient_quota" if code == "insufficient_quota" else "rate_limit_error",
        code=code,
        retry_after_s=wait_s,
        headers=headers,
    )


def seconds_to_next_month() -> float:
    """Return how long the current month (UTC) still lasts, seconds."""
    now = datetime.now(UTC)
    year, month = (now.year + 1, 1) if now.month == 12 else (now.year, now.month + 1)
    return (datetime(year, month, 1, tzinfo=UTC) - now).total_seconds()
