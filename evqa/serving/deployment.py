"""One served version: its engines, what it grants, how it has done so far."""

import time
from collections import deque
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

from evqa.serving.in_flight import InFlight
from evqa.serving.protocol import Limits
from evqa.serving.upstream import UpstreamPool

if TYPE_CHECKING:
    from evqa.serving.engine import EngineProcess

MAX_OUTCOMES = 500


@dataclass(slots=True)
class Outcomes:
    """How the last answers went.

    Attributes:
        failures: Newest last; true where the engine was at fault.
        token_seconds: Time a completion token of those that went well, seconds.
    """

    failures: deque[bool] = field(default_factory=lambda: deque(maxlen=MAX_OUTCOMES))
    token_seconds: deque[float] = field(default_factory=lambda: deque(maxlen=MAX_OUTCOMES))

    def add(self, *, failed: bool, latency_s: float, num_tokens: int | None) -> None:
        """Take in one answer."""
        self.failures.append(failed)
        if not failed and num_tokens:
            self.token_seconds.append(latency_s / num_tokens)

    @property
    def error_rate(self) -> float:
        """Share of failures."""
        return sum(self.failures) / len(self.failures) if self.failures else 0.0

    @property
    def median_token_s(self) -> float:
        """Median time a token, seconds; 0 before the first answer."""
        return median(self.token_seconds) if self.token_seconds else 0.0


@dataclass(slots=True, eq=False, kw_only=True)
class Deployment(InFlight):
    """A version that requests can be sent to.

    Attributes:
        version: Told in every answer's ``x-model-version``.
        says_done: The engine ends its streams with ``[DONE]``.
        engine: The process, null where engines run elsewhere.
        ready_at_s: When the engine last began to answer, seconds (monotonic).
        start_took_s: How long that took, seconds.
        num_restarts: How often in a row it ended soon.
    """

    version: str
    limits: Limits
    pool: UpstreamPool
    says_done: bool = True
    engine: "EngineProcess | None" = None
    ready_at_s: float = field(default_factory=time.monotonic)
    start_took_s: float = 0.0
    num_restarts: int = 0
    outcomes: Outcomes = field(default_factory=Outcomes)

    def enter(self) -> None:
        """Count a request in."""
        self.in_flight += 1

    def next_backoff_s(self, steady_s: float, max_s: float) -> float:
        """Return how long to wait before the engine is started again, seconds.

        Twice as long each time, from one second, until it has run steadily for ``steady_s``.
        """
        if time.monotonic() - self.ready_at_s > steady_s:
            self.num_restarts = 0
        self.num_restarts += 1
        return float(min(max_s, 2 ** (self.num_restarts - 1)))
