"""OpenTelemetry spans, one a request, with the W3C trace context handed on to the engine.

An extra: ``pip install evqa[otel]``. A span is made when the request is over, from the times that
were taken anyway, so tracing costs nothing while an answer streams.
"""

import secrets
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from evqa.errors import UserError

VERSION = "00"  # https://www.w3.org/TR/trace-context/
SAMPLED = "01"
FAREWELL_S = 2.0


@dataclass(slots=True)
class Trace:
    """Where a request stands in a trace.

    Attributes:
        trace_id: 32 hexadecimal digits.
        parent_id: The client's span, 16 digits; null where it sent none.
        span_id: Ours.
        started_ns: Since 1970, nanoseconds.
    """

    trace_id: str
    parent_id: str | None
    span_id: str = field(default_factory=lambda: secrets.token_hex(8))
    started_ns: int = field(default_factory=time.time_ns)

    @property
    def traceparent(self) -> str:
        """The header that the engine gets."""
        return f"{VERSION}-{self.trace_id}-{self.span_id}-{SAMPLED}"


def parse_traceparent(header: bytes | None) -> Trace:
    """Go on with a client's trace, or begin one where the header is missing or makes no sense."""
    parts = (header or b"").decode("latin-1").split("-")
    if len(parts) == 4 and _is_id(parts[1], 32) and _is_id(parts[2], 16):
        return Trace(parts[1], parts[2])
    return Trace(secrets.token_hex(16), None)


def _is_id(text: str, length: int) -> bool:
    digits = set("0123456789abcdef")
    return len(text) == length and set(text) <= digits and set(text) != {"0"}


class Tracer:
    """Sends spans to a collector.

    Args:
        endpoint: OTLP over HTTP, such as ``http://host:4318/v1/traces``.
        exporter: Takes spans; null: one for the endpoint.

    Raises:
        UserError: when OpenTelemetry is not installed.
    """

    def __init__(self, endpoint: str, exporter: Any = None) -> None:
        try:
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor

            if exporter is None:
                from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

                exporter = OTLPSpanExporter(endpoint)
        except ImportError:
            raise UserError(
                "server.otlp_endpoint: OpenTelemetry is not installed; pip install 'evqa[otel]'"
            ) from None
        self._ids = _GivenIds()
        ids: Any = self._ids
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": "evqa"}), id_generator=ids
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("evqa.serving")

    def finish(self, trace: Trace, row: dict[str, Any]) -> None:
        """Send the span of a request that is over, with its figures as attributes."""
        from opentelemetry import trace as api

        self._ids.next_trace_id = int(trace.trace_id, 16)
        self._ids.next_span_id = int(trace.span_id, 16)
        context = None
        if trace.parent_id is not None:
            parent = api.SpanContext(
                self._ids.next_trace_id, int(trace.parent_id, 16), True, api.TraceFlags(1)
            )
            context = api.set_span_in_context(api.NonRecordingSpan(parent))
        span = self._tracer.start_span(
            f"POST {row['route']}",
            context,
            kind=api.SpanKind.SERVER,
            attributes={f"evqa.{name}": value for name, value in row.items() if value is not None},
            start_time=trace.started_ns,
        )
        if row["status"] >= 500:
            span.set_status(api.StatusCode.ERROR)
        span.end()

    def close(self) -> None:
        """Send what is left; gives up after two seconds when the collector is not there."""
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(FAREWELL_S)


class _GivenIds:
    """Gives the ids that the engine has been told."""

    next_trace_id = 0
    next_span_id = 0

    def generate_trace_id(self) -> int:
        """Return the trace's id."""
        return self.next_trace_id

    def generate_span_id(self) -> int:
        """Return the span's id."""
        return self.next_span_id

    def is_trace_id_random(self) -> bool:
        """Ours are."""
        return True
