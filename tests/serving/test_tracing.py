import json
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loopback import chat_body

from evqa.errors import UserError
from evqa.serving.tracing import Trace, Tracer, parse_traceparent

TRACE_ID, PARENT_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE_ID}-{PARENT_ID}-01"


def test_a_clients_trace_is_gone_on_with():
    trace = parse_traceparent(PARENT.encode())
    assert (trace.trace_id, trace.parent_id) == (TRACE_ID, PARENT_ID)
    assert trace.traceparent == f"00-{TRACE_ID}-{trace.span_id}-01"
    assert trace.span_id != PARENT_ID


@given(st.none() | st.binary(max_size=80))
def test_whatever_else_it_sends_a_trace_is_begun(header):
    trace = parse_traceparent(header)
    assert len(trace.trace_id) == 32
    assert trace.parent_id is None or len(trace.parent_id) == 16


@pytest.mark.parametrize("trace_id", ["0" * 32, "x" * 32, TRACE_ID.upper(), TRACE_ID[:-1]])
def test_an_id_that_is_none_is_not_taken(trace_id):
    assert parse_traceparent(f"00-{trace_id}-{PARENT_ID}-01".encode()).parent_id is None


@pytest.fixture
def exporter():
    sdk = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    return sdk.InMemorySpanExporter()


def test_a_request_becomes_a_span_with_its_figures(exporter):
    tracer = Tracer("http://unused", exporter)
    row = {"route": "/predict", "status": 502, "version": "evqa/1", "ttft_ms": None, "id": "r"}
    tracer.finish(Trace(TRACE_ID, PARENT_ID, started_ns=10), row)
    tracer.close()
    (span,) = exporter.get_finished_spans()
    assert span.name == "POST /predict"
    assert f"{span.context.trace_id:032x}" == TRACE_ID
    assert f"{span.parent.span_id:016x}" == PARENT_ID
    assert span.start_time == 10
    assert span.attributes["evqa.version"] == "evqa/1"
    assert "evqa.ttft_ms" not in span.attributes
    assert not span.status.is_ok


def test_spans_of_served_requests_name_what_the_engine_was_told(engine, start_proxy, exporter):
    proxy = start_proxy()
    proxy.state.accounts.tracer = Tracer("http://unused", exporter)
    answer = proxy.post(json=chat_body("a secret"), headers={"traceparent": PARENT})
    proxy.wait_for_books(answer.headers["x-request-id"])
    proxy.state.accounts.tracer.close()
    (span,) = exporter.get_finished_spans()
    told = engine.headers[-1]["traceparent"]
    assert told == f"00-{TRACE_ID}-{span.context.span_id:016x}-01"
    assert span.attributes["evqa.id"] == answer.headers["x-request-id"]
    assert span.attributes["evqa.num_completion_tokens"] == 3
    assert "secret" not in json.dumps(dict(span.attributes))


def test_a_collector_that_is_not_there_harms_no_request(start_proxy):
    pytest.importorskip("opentelemetry.exporter.otlp")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        proxy = start_proxy(
            f"server.otlp_endpoint=http://127.0.0.1:{unused.getsockname()[1]}/v1/traces"
        )
        assert proxy.chat().status_code == 200


def test_without_the_extra_one_line_says_what_to_install(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(UserError, match=r"pip install 'evqa\[otel\]'"):
        Tracer("http://unused")
