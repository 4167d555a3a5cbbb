"""Counters and histograms for Prometheus, one registry a server."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

LATENCY_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class ServerMetrics:
    """What `/metrics` shows."""

    def __init__(self, version: str) -> None:
        self._registry = CollectorRegistry()
        labels = {"version": version}
        requests = Counter(
            "evqa_requests_total",
            "Requests by route and status.",
            ("version", "route", "status"),
            registry=self._registry,
        )
        tokens = Counter(
            "evqa_tokens_total", "Tokens by kind.", ("version", "kind"), registry=self._registry
        )
        latency = Histogram(
            "evqa_request_seconds",
            "From the whole request to the end of the answer.",
            ("version",),
            buckets=LATENCY_BUCKETS_S,
            registry=self._registry,
        )
        first_byte = Histogram(
            "evqa_first_token_seconds",
            "From the whole request to the first event of a stream.",
            ("version",),
            buckets=LATENCY_BUCKETS_S,
            registry=self._registry,
        )
        self._version = version
        self._requests = requests
        self._prompt_tokens = tokens.labels(kind="prompt", **labels)
        self._completion_tokens = tokens.labels(kind="completion", **labels)
        self._latency = latency.labels(**labels)
        self._first_byte = first_byte.labels(**labels)
        self.in_flight = Gauge(
            "evqa_requests_in_flight", "Requests being answered.", registry=self._registry
        )

    def count(self, route: str, status: int) -> None:
        """Count an answered request."""
        self._requests.labels(version=self._version, route=route, status=str(status)).inc()

    def observe(
        self,
        *,
        latency_s: float,
        first_byte_s: float | None,
        num_prompt_tokens: int | None,
        num_completion_tokens: int | None,
    ) -> None:
        """Take in the figures of a request that reached the engine."""
        self._latency.observe(latency_s)
        if first_byte_s is not None:
            self._first_byte.observe(first_byte_s)
        self._prompt_tokens.inc(num_prompt_tokens or 0)
        self._completion_tokens.inc(num_completion_tokens or 0)

    def render(self) -> bytes:
        """Return the text format of Prometheus."""
        return generate_latest(self._registry)
