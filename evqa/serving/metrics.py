"""Counters and histograms for Prometheus, per model version, one registry a server."""

import contextlib
import resource
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

LATENCY_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
QUEUE_BUCKETS_S = (0.001, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60)
TOKEN_RATE_BUCKETS = (1, 2, 5, 10, 20, 40, 80, 160, 320, 640)


@dataclass(frozen=True, slots=True)
class _VersionSeries:
    """The series of one version; looking them up by label each time costs more than counting."""

    latency: Histogram
    queue: Histogram
    first_byte: Histogram
    token_rate: Histogram
    prompt_tokens: Counter
    completion_tokens: Counter


class ServerMetrics:
    """What `/metrics` shows."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Counter:
            """Make a counter."""
            return Counter(name, text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            """Make a gauge."""
            return Gauge(name, text, labels, registry=registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
            """Make a histogram per version."""
            return Histogram(name, text, ("version",), buckets=buckets, registry=registry)

        self._requests = counter(
            "evqa_requests", "Requests by route and status.", "version", "route", "status"
        )
        self._errors = counter("evqa_errors", "Requests that went wrong.", "version", "kind")
        self._tokens = counter("evqa_tokens", "Tokens by kind.", "version", "kind")
        self._latency = histogram(
            "evqa_request_seconds",
            "From the whole request to the end of the answer.",
            LATENCY_BUCKETS_S,
        )
        self._first_byte = histogram(
            "evqa_first_token_seconds",
            "From the whole request to the first event of a stream.",
            LATENCY_BUCKETS_S,
        )
        self._token_rate = histogram(
            "evqa_tokens_per_second",
            "Completion tokens a second of one answer, from its first.",
            TOKEN_RATE_BUCKETS,
        )
        self._queue = histogram("evqa_queue_seconds", "Wait for a place.", QUEUE_BUCKETS_S)
        self.in_flight = gauge("evqa_requests_in_flight", "Requests being answered.")
        self.waiting = gauge("evqa_requests_waiting", "Requests that wait for a place.")
        self._engine_up = gauge("evqa_engine_up", "Whether the engine answers.", "version")
        self._restarts = counter("evqa_engine_restarts", "Engines started again.", "version")
        self._swaps = counter("evqa_swaps", "Versions that took over, or could not.", "outcome")
        self._rollbacks = counter("evqa_canary_rollbacks", "Canaries taken back.", "version")
        self._memory = gauge("evqa_peak_memory_bytes", "Largest resident size of the proxy.")
        self._cpu = counter("evqa_cpu_seconds", "Processor time of the proxy.")
        self._cpu_told_s = 0.0
        self._request_series: dict[tuple[str, str, int], Counter] = {}
        self._version_series: dict[str, _VersionSeries] = {}

    def count(self, version: str, route: str, status: int, error: str | None = None) -> None:
        """Count an answered request."""
        series = self._request_series.get((version, route, status))
        if series is None:
            series = self._requests.labels(version, route, str(status))
            self._request_series[version, route, status] = series
        series.inc()
        if error is not None:
            self._errors.labels(version, error).inc()

    def observe(
        self,
        version: str,
        *,
        latency_s: float,
        first_byte_s: float | None,
        queue_s: float,
        num_prompt_tokens: int | None,
        num_completion_tokens: int | None,
    ) -> None:
        """Take in the figures of a request that reached the engine."""
        series = self._version_series.get(version)
        if series is None:
            series = self._version_series[version] = self._make_series(version)
        series.latency.observe(latency_s)
        series.queue.observe(queue_s)
        if first_byte_s is not None:
            series.first_byte.observe(first_byte_s)
        if num_completion_tokens:
            series.completion_tokens.inc(num_completion_tokens)
            generating_s = latency_s - (first_byte_s or queue_s)
            if generating_s > 0:
                series.token_rate.observe(num_completion_tokens / generating_s)
        if num_prompt_tokens:
            series.prompt_tokens.inc(num_prompt_tokens)

    def _make_series(self, version: str) -> "_VersionSeries":
        return _VersionSeries(
            latency=self._latency.labels(version),
            queue=self._queue.labels(version),
            first_byte=self._first_byte.labels(version),
            token_rate=self._token_rate.labels(version),
            prompt_tokens=self._tokens.labels(version, "prompt"),
            completion_tokens=self._tokens.labels(version, "completion"),
        )

    def engine_up(self, version: str, *, up: bool) -> None:
        """Note whether a version's engine answers."""
        self._engine_up.labels(version).set(up)

    def forget(self, version: str) -> None:
        """Forget an engine that was stopped; its counters stay."""
        with contextlib.suppress(KeyError):
            self._engine_up.remove(version)

    def count_restart(self, version: str) -> None:
        """Count an engine that is started again."""
        self._restarts.labels(version).inc()

    def count_swap(self, outcome: str) -> None:
        """Count a version that took over (done) or could not (failed)."""
        self._swaps.labels(outcome).inc()

    def count_rollback(self, version: str) -> None:
        """Count a canary that was taken back."""
        self._rollbacks.labels(version).inc()

    def render(self, *, in_flight: int, waiting: int) -> bytes:
        """Return the text format of Prometheus."""
        self.in_flight.set(in_flight)
        self.waiting.set(waiting)
        used = resource.getrusage(resource.RUSAGE_SELF)
        self._memory.set(used.ru_maxrss * 1024)
        cpu_s = used.ru_utime + used.ru_stime
        self._cpu.inc(max(0.0, cpu_s - self._cpu_told_s))
        self._cpu_told_s = cpu_s
        return generate_latest(self._registry)
