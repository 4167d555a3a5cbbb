"""The hand-written document against what is served, and thousands of requests that no one sends."""

import json
import random
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import proxy_config
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback import ProxyUnderTest, wait_until

from evqa.serving.openapi import openapi_document
from evqa.serving.protocol import CHAT_FIELDS, COMPLETION_FIELDS, NULL_FIELDS, Limits

LIMITS = Limits(model_name="evqa", max_tokens=100, max_choices=4)


@pytest.fixture(scope="module")
def served(engine, tmp_path_factory):
    """A proxy in front of an engine that is never at fault."""
    folder = tmp_path_factory.mktemp("openapi")
    config = proxy_config(folder / "outputs", [engine.url])
    config.server.timeouts.header_s = config.server.timeouts.body_s = 1.0
    engine.polite = True
    with ProxyUnderTest(config, folder) as proxy:
        wait_until(lambda: proxy.state.fleet.primary.pool.ready)
        yield proxy
    engine.polite = False


def test_every_path_of_the_document_is_served_with_its_method_only(served):
    document = served.get("/openapi.json").json()
    for path, methods in document["paths"].items():
        for method in ("get", "post", "put", "delete"):
            answer = served.get(path) if method == "get" else None
            if method == "post":
                answer = served.post(path, json={})
            if answer is not None:
                assert (answer.status_code == 405) == (method not in methods), (path, method)
                assert answer.status_code != 404


def test_the_document_knows_every_field_that_is_checked():
    schemas = openapi_document(LIMITS, 1 << 20)["components"]["schemas"]
    for name, fields in {
        "ChatRequest": CHAT_FIELDS,
        "CompletionRequest": COMPLETION_FIELDS,
    }.items():
        assert set(schemas[name]["properties"]) == {*fields, *NULL_FIELDS}


def test_what_the_engine_would_ignore_is_not_in_the_document():
    limits = Limits(model_name="x", max_tokens=1, max_choices=1, unsupported=frozenset({"n"}))
    schemas = openapi_document(limits, 1)["components"]["schemas"]
    assert "n" not in schemas["ChatRequest"]["properties"]


def test_the_page_for_people_names_every_path_and_field_and_loads_nothing(served):
    page = served.get("/docs").text
    for word in ("POST /v1/chat/completions", "GET /metrics", "max_completion_tokens", "429"):
        assert word in page
    assert "<script" not in page
    assert "http" not in page.replace("OpenAI", "").split("<body")[-1].replace("https://", "")


def schemathesis(served, num_examples, folder):
    program = Path(sys.executable).with_name("schemathesis")
    return subprocess.run(
        [
            program, "run", f"{served.url}/openapi.json", "--no-color", "--continue-on-failure",
            "--header", f"Authorization: Bearer {served.key}", "--max-examples", str(num_examples),
        ],
        capture_output=True, text=True, timeout=900, check=False, cwd=folder,
    )  # fmt: skip


@pytest.mark.parametrize(
    "num_examples", [15, pytest.param(300, marks=[pytest.mark.slow, pytest.mark.timeout(900)])]
)
def test_schemathesis_finds_nothing(served, tmp_path, num_examples):
    done = schemathesis(served, num_examples, tmp_path)
    assert done.returncode == 0, done.stdout[-7000:]
    assert "No issues found" in done.stdout or "failures" not in done.stdout


class Fuzzer:
    """Makes requests: mostly well-formed ones with one thing wrong, and plain noise."""

    def __init__(self, key, seed):
        self.random = random.Random(seed)
        self.key = key

    def request(self):
        body = self.body()
        lines = self.head(len(body))
        data = b"\r\n".join(lines) + b"\r\n\r\n" + body
        return self.mangled(data) if self.random.random() < 0.3 else data

    def head(self, length):
        pick = self.random.choice
        path = pick(
            ["/v1/chat/completions", "/v1/completions", "/predict", "/v1/models", "/metrics",
             "/ready", "/openapi.json", "/docs", "/v1/chat%2Fcompletions", "//", "/%00", "*"]
        )  # fmt: skip
        method = pick(["POST"] * 6 + ["GET", "HEAD", "PUT", "OPTIONS", "TRACE", "PATCH"])
        key = pick([self.key] * 8 + ["evqa-x", "", "\t", "x" * 300])
        declared = pick([length] * 12 + [length + 1, max(0, length - 1), -1, 10**9, "x"])
        extra = pick(
            [b"", b"", b"x: y", b"expect: 100-continue", b"transfer-encoding: chunked",
             b"content-encoding: gzip", b"upgrade: h2c\r\nconnection: upgrade", b": x",
             b"content-length: 3", b"x: " + b"y" * 20000]
        )  # fmt: skip
        lines = [
            f"{method} {path} HTTP/1.1".encode(), b"host: x", b"connection: close",
            f"authorization: Bearer {key}".encode(), f"content-length: {declared}".encode(), extra,
        ]  # fmt: skip
        return [line for line in lines if line]

    def body(self):
        if self.random.random() < 0.1:
            return self.random.randbytes(self.random.randrange(200))
        body = self.random.choice(
            [
                {"model": "evqa", "messages": [{"role": "user", "content": "x"}]},
                {"model": "evqa", "prompt": "x"},
                {"input_text": "x"},
            ]
        )
        for _ in range(self.random.randrange(4)):
            body[self.random.choice(FIELDS)] = self.value(0)
        return json.dumps(body).encode()

    def value(self, depth):
        pick = self.random.choice
        plain = [
            None, True, False, 0, 1, -1, 10**30, 0.5, float("nan"), float("inf"), "", "x", "\ud800",
            "x" * 2000, "\0", [], {}, "evqa", "user", 1e308, 2**63,
        ]  # fmt: skip
        kind = self.random.random()
        if depth > 3 or kind < 0.6:
            return pick(plain)
        if kind < 0.8:
            return [self.value(depth + 1) for _ in range(self.random.randrange(4))]
        return {pick(FIELDS): self.value(depth + 1) for _ in range(self.random.randrange(4))}

    def mangled(self, data):
        data = bytearray(data)
        for _ in range(self.random.randrange(1, 4)):
            at = self.random.randrange(len(data))
            data[at : at + self.random.randrange(3)] = self.random.randbytes(
                self.random.randrange(3)
            )
        return bytes(data)


FIELDS = [
    *CHAT_FIELDS, *COMPLETION_FIELDS, *NULL_FIELDS, "input_text", "role", "content", "type", "text",
    "chat_template", "api_base", "json_schema", "include_usage",
]  # fmt: skip


def ask(port, request):
    """Send bytes, and return the status of the answer (0: none)."""
    with socket.create_connection(("127.0.0.1", port), 10) as raw:
        raw.settimeout(10)
        try:
            raw.sendall(request)
            raw.shutdown(socket.SHUT_WR)
            answer = b""
            while b"\r\n" not in answer and (piece := raw.recv(65536)):
                answer += piece
        except ConnectionError:
            return 0
    words = answer.split(b" ", 2)
    return int(words[1]) if len(words) > 1 else 0


@pytest.mark.parametrize(
    "num_requests", [400, pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.timeout(900)])]
)
def test_no_request_whatever_is_an_error_of_ours(served, num_requests):
    fuzzer = Fuzzer(served.key, seed=num_requests)
    statuses = {}
    for _ in range(num_requests):
        request = fuzzer.request()
        status = ask(served.port, request)
        assert status < 500, request
        statuses[status] = statuses.get(status, 0) + 1
    assert statuses[200] > num_requests / 100  # the fuzzer is not beside the point
    assert statuses[400] > num_requests / 20
    served.log.close()
    assert "exception" not in (served.folder / "server.log").read_text()
    assert served.chat().status_code == 200


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_what_the_schema_allows_is_accepted_by_the_checks(data):
    """The same as schemathesis asks over HTTP, closer to the code and with shrinking."""
    from evqa.serving.protocol import parse_chat

    values = {
        "temperature": st.floats(0, 2),
        "top_p": st.floats(1e-6, 1),
        "n": st.integers(1, 4),
        "max_tokens": st.integers(1, 100),
        "seed": st.integers(-(2**63), 2**63 - 1),
        "stop": st.lists(
            st.text(st.characters(codec="utf-8"), min_size=1, max_size=9), max_size=4
        ),
        "stream": st.booleans(),
    }
    names = data.draw(st.sets(st.sampled_from(sorted(values))))
    body = {"model": "evqa", "messages": [{"role": "user", "content": "x"}]}
    body |= {name: data.draw(values[name]) for name in names}
    assert parse_chat(json.dumps(body).encode(), LIMITS).body["model"] == "evqa"
