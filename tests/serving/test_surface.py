"""What can be reached, and clients that misbehave."""

import json
import re
import socket
import time

import httpx
import openai
import pytest
from loopback import chat_body, wait_until

from evqa.serving.keys import create_key, revoke_key


@pytest.fixture(scope="module")
def shared(engine, tmp_path_factory):
    """One proxy for all tests that change nothing about it."""
    from loopback import ProxyUnderTest

    from evqa.config import load_config

    folder = tmp_path_factory.mktemp("surface")
    overrides = [f"server.upstreams=[{engine.url}]", f"paths.outputs_dir={folder / 'outputs'}"]
    timeouts = ["server.timeouts.header_s=0.5", "server.timeouts.body_s=0.5"]
    config = load_config(
        "serve", ["server=external", "server.max_body_kib=64", *overrides, *timeouts]
    )
    with ProxyUnderTest(config, folder) as proxy:
        wait_until(lambda: proxy.state.fleet.primary.pool.ready)
        yield proxy


def client_of(proxy, **options):
    return openai.OpenAI(
        base_url=f"{proxy.url}/v1", api_key=options.pop("key", proxy.key), max_retries=0, **options
    )


def test_the_openai_client_chats(shared):
    with client_of(shared) as client:
        answer = client.chat.completions.create(**chat_body())
        assert answer.choices[0].message.content == "one two three"
        assert answer.usage.completion_tokens == 3
        assert [model.id for model in client.models.list()] == ["evqa"]


def test_the_openai_client_streams(shared):
    with client_of(shared) as client:
        stream = client.chat.completions.create(**chat_body(stream=True))
        pieces = [piece.choices[0].delta.content for piece in stream]
    assert "".join(pieces) == "one two three"


@pytest.mark.parametrize("how", ["cut", "half event"])
def test_the_openai_client_sees_a_broken_stream_as_an_error(shared, how):
    with client_of(shared) as client:
        stream = client.chat.completions.create(**chat_body(how, stream=True))
        with pytest.raises(openai.APIError, match="was cut off"):
            list(stream)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (chat_body(model="gpt-4"), openai.NotFoundError),
        (chat_body(n=99), openai.BadRequestError),
        (chat_body("500"), openai.InternalServerError),
    ],
)
def test_the_openai_client_raises_its_own_errors(shared, body, kind):
    with client_of(shared) as client, pytest.raises(kind):
        client.chat.completions.create(**body)


def test_a_wrong_key_is_an_authentication_error(shared):
    with client_of(shared, key="evqa-wrong") as client:
        with pytest.raises(openai.AuthenticationError):
            client.models.list()
        with pytest.raises(openai.AuthenticationError):
            client.chat.completions.create(**chat_body())


HIDDEN = [
    "/", "/v1", "/v1/", "/redoc", "/tokenize", "/detokenize",
    "/invocations", "/v1/load_lora_adapter", "/pause", "/sleep", "/update_weights",
    "/collective_rpc", "/server_info", "/v1/embeddings", "/v1/responses", "/version", "/load",
    "/ping", "/health/", "/v1/chat/completions/", "/v1/models/evqa", "//v1/models",
    "/v1/chat/../models", "/V1/models",
]  # fmt: skip


@pytest.mark.parametrize("path", HIDDEN)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_nothing_else_can_be_reached(engine, shared, path, method):
    before = len(engine.seen)
    with socket.create_connection(("127.0.0.1", shared.port), 5) as raw:
        auth = f"authorization: Bearer {shared.key}\r\ncontent-length: 0\r\n"
        raw.sendall(f"{method} {path} HTTP/1.1\r\nhost: x\r\n{auth}\r\n".encode())
        head = raw.recv(65536).decode()
    assert head.startswith("HTTP/1.1 404")
    assert "x-request-id: req_" in head
    assert len(engine.seen) == before


def test_a_404_has_openais_shape(shared):
    error = shared.get("/nothing").json()["error"]
    assert error["type"] == "invalid_request_error"
    assert error["request_id"].startswith("req_")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/predict"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS"])
def test_other_methods_are_a_405(shared, path, method):
    response = httpx.request(method, f"{shared.url}{path}", trust_env=False)
    assert response.status_code == 405
    assert response.headers["allow"] == "POST"


def test_pages_refuse_other_methods_too(shared):
    assert httpx.post(f"{shared.url}/health", trust_env=False).status_code == 405


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/predict"])
def test_no_key_is_a_401_before_the_body_is_looked_at(shared, path):
    response = httpx.post(f"{shared.url}{path}", content=b"{", trust_env=False)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"


def test_a_key_in_the_address_is_no_key(shared):
    response = httpx.get(f"{shared.url}/v1/models?api_key={shared.key}", trust_env=False)
    assert response.status_code == 401


def test_another_host_header_changes_nothing(shared):
    response = shared.post(json=chat_body(), headers={"host": "evil/v1/models?"})
    assert response.status_code == 200


def test_health_ready_and_metrics_need_no_key(shared):
    assert shared.get("/health").json() == {"status": "ok"}
    assert shared.get("/ready").json() == {"status": "ready", "version": "external"}
    shared.chat()
    text = shared.get("/metrics").text
    label = r'route="/v1/chat/completions",status="200",version="external"'
    assert re.search(rf"evqa_requests_total\{{{label}\}} \d", text)
    assert "evqa_request_seconds_bucket" in text
    assert shared.key not in text


def test_a_key_that_is_made_or_revoked_is_live_within_two_seconds(shared):
    key = create_key(shared.keys_file, "late")
    wait_until(lambda: shared.post(json=chat_body(), key=key).status_code == 200, 2)
    revoke_key(shared.keys_file, "late")
    wait_until(lambda: shared.post(json=chat_body(), key=key).status_code == 401, 2)
    assert shared.chat().status_code == 200  # the other key is as good as ever


@pytest.mark.parametrize("size", [65 << 10, 3 << 20])
def test_a_body_too_large_is_a_413_and_not_a_reset(shared, size):
    response = shared.post(content=b"x" * size)
    assert response.status_code == 413
    assert shared.chat().status_code == 200


def test_a_body_without_declared_length_is_bounded_too(shared):
    pieces = (b"x" * 4096 for _ in range(100))
    assert shared.post(content=pieces).status_code == 413


def raw_request(proxy, head, body=b"", *, wait_s=5.0):
    """Send bytes and return everything until the server closes, and how long that took."""
    start = time.monotonic()
    with socket.create_connection(("127.0.0.1", proxy.port), wait_s) as raw:
        raw.sendall(head + body)
        answer = b""
        while piece := raw.recv(65536):
            answer += piece
            if b"\r\n\r\n" in answer and b"connection: close" not in answer.lower():
                break
    return answer, time.monotonic() - start


def send_slowly(raw, pieces, pause_s):
    for piece in pieces:
        raw.sendall(piece)
        time.sleep(pause_s)


def head_of(proxy, *lines):
    fixed = ["POST /v1/chat/completions HTTP/1.1", "host: x", f"authorization: Bearer {proxy.key}"]
    return "\r\n".join([*fixed, *lines, "", ""]).encode()


def test_a_client_that_waits_for_leave_is_refused_before_it_sends(shared):
    head = head_of(shared, "content-length: 1000000", "expect: 100-continue")
    answer, _ = raw_request(shared, head)
    assert answer.startswith(b"HTTP/1.1 413")


def test_a_body_that_never_comes_is_a_408(shared):
    answer, took_s = raw_request(shared, head_of(shared, "content-length: 100"), b"{")
    assert answer.startswith(b"HTTP/1.1 408")
    assert took_s < 2


@pytest.mark.parametrize("sent", [b"", b"POST /v1", b"POST / HTTP/1.1\r\nx: y\r\n", b"\r\n"])
def test_slow_headers_are_hung_up_on(shared, sent):
    answer, took_s = raw_request(shared, sent)
    assert answer == b""
    assert 0.3 < took_s < 2


def test_headers_a_byte_at_a_time_are_hung_up_on(shared):
    with socket.create_connection(("127.0.0.1", shared.port), 5) as raw:
        start = time.monotonic()
        head = head_of(shared, "x: " + "y" * 1000)
        with pytest.raises(OSError, match=r"(?i)reset|pipe|abort"):
            send_slowly(raw, [bytes([byte]) for byte in head], 0.02)
        assert time.monotonic() - start < 3


@pytest.mark.parametrize(
    "lines",
    [[f"x-{n}: y" for n in range(100)], ["x: " + "y" * 20_000], ["y" * 20_000 + ": x"]],
    ids=["many", "large", "long name"],
)
def test_headers_too_many_or_too_large_are_a_431(shared, lines):
    answer, _ = raw_request(shared, head_of(shared, *lines))
    assert answer.startswith(b"HTTP/1.1 431")
    assert json.loads(answer.split(b"\r\n\r\n")[1])["error"]["type"] == "invalid_request_error"


def test_a_header_without_end_is_not_gathered_up(shared):
    with socket.create_connection(("127.0.0.1", shared.port), 5) as raw:
        raw.sendall(b"GET /health HTTP/1.1\r\nx: ")
        send_slowly(raw, [b"y" * 4096] * 5, 0.001)
        assert raw.recv(65536).startswith(b"HTTP/1.1 431")


@pytest.mark.parametrize(
    "junk", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET\r\n\r\n", b"\0" * 64]
)
def test_what_is_no_http_is_a_400(shared, junk):
    answer, _ = raw_request(shared, junk)
    assert answer.startswith(b"HTTP/1.1 400")


def test_a_connection_serves_many_requests_and_outlives_the_header_clock(shared):
    with httpx.Client(trust_env=False, headers=shared.authorization) as client:
        for _ in range(3):
            answer = client.post(f"{shared.url}/v1/chat/completions", json=chat_body())
            assert answer.status_code == 200
            time.sleep(0.4)


def test_a_small_request_in_two_packets_is_served(shared):
    body = json.dumps(chat_body()).encode()
    head = head_of(shared, f"content-length: {len(body)}", "connection: close")
    with socket.create_connection(("127.0.0.1", shared.port), 5) as raw:
        raw.sendall(head[:20])
        time.sleep(0.1)
        raw.sendall(head[20:] + body[:5])
        time.sleep(0.1)
        raw.sendall(body[5:])
        assert raw.recv(65536).startswith(b"HTTP/1.1 200")


def test_the_log_holds_neither_questions_nor_keys(shared, caplog):
    shared.chat("my secret question")
    shared.chat("500")
    shared.post(json=chat_body(), key="evqa-wrong-key")
    assert "secret" not in caplog.text
    assert shared.key not in caplog.text
    assert "evqa-wrong-key" not in caplog.text


def test_metrics_are_for_this_machine_only(shared):
    import asyncio

    from evqa.serving.app import create_app

    sent = []

    async def ask(client):
        async def send(message):
            sent.append(message)

        scope = {
            "type": "http", "method": "GET", "path": "/metrics", "raw_path": b"/metrics",
            "headers": [], "query_string": b"", "client": client, "app": None,
        }  # fmt: skip
        await create_app(shared.state)(scope, None, send)

    for client in (("127.0.0.1", 1), ("::1", 1), ("10.0.0.7", 1), None):
        asyncio.run(ask(client))
    statuses = [m["status"] for m in sent if m["type"] == "http.response.start"]
    assert statuses == [200, 200, 401, 401]
