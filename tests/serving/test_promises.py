"""The promises, each against an engine or a client that misbehaves (see also test_relay)."""

import contextlib
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import httpx
import openai
import pytest
from loopback import MockEngine, chat_body, events_of, text_of, wait_until

from evqa.serving import call as call_module
from evqa.serving.keys import create_key, revoke_key, rotate_key


def make_key(proxy, name, **settings):
    """A key that is live."""
    key = create_key(proxy.keys_file, name, **settings)
    wait_until(lambda: proxy.state.keys.authenticate(f"Bearer {key}".encode()), 3)
    return key


def ask(proxy, key, how="ok", path="/v1/chat/completions", **fields):
    return proxy.post(path, json=chat_body(how, **fields), key=key)


def test_a_limited_key_is_told_how_much_is_left_and_when_to_come_again(proxy):
    key = make_key(proxy, "limited", requests_per_minute=2, tokens_per_minute=10_000)
    first = ask(proxy, key)
    assert first.headers["x-ratelimit-limit-requests"] == "2"
    assert first.headers["x-ratelimit-remaining-requests"] == "1"
    assert first.headers["x-ratelimit-limit-tokens"] == "10000"
    ask(proxy, key, stream=True)
    refused = ask(proxy, key)
    assert refused.status_code == 429
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert 0 < int(refused.headers["retry-after"]) <= 31
    assert int(refused.headers["retry-after-ms"]) <= 31_000
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    assert ask(proxy, proxy.key).status_code == 200


def test_the_openai_client_calls_it_a_rate_limit_and_waits_as_told(proxy):
    key = make_key(proxy, "limited", requests_per_minute=60)
    with openai.OpenAI(base_url=f"{proxy.url}/v1", api_key=key, max_retries=0) as client:
        for _ in range(60):
            client.chat.completions.create(**chat_body())
        with pytest.raises(openai.RateLimitError):
            for _ in range(60):
                client.chat.completions.create(**chat_body())
    with openai.OpenAI(base_url=f"{proxy.url}/v1", api_key=key, max_retries=3) as client:
        assert client.chat.completions.create(**chat_body()).usage.total_tokens == 8


def test_concurrent_streams_of_a_key_are_bounded(proxy):
    key = make_key(proxy, "one", max_concurrent=1)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(ask, proxy, key, "slow 0.2", stream=True)
        wait_until(lambda: proxy.state.gate.in_flight == 1)
        assert ask(proxy, key).json()["error"]["code"] == "concurrency_limit"
        assert events_of(running.result())[-1] == "DONE"
    wait_until(lambda: ask(proxy, key).status_code == 200)


def test_a_monthly_budget_survives_a_restart(start_proxy):
    proxy = start_proxy()
    key = make_key(proxy, "budget", monthly_tokens=15)
    assert [ask(proxy, key).status_code for _ in range(3)] == [200, 200, 429]  # 8 tokens each
    again = start_proxy()
    refused = again.post(json=chat_body(), key=key)
    assert refused.status_code == 429
    assert refused.json()["error"]["type"] == "insufficient_quota"


def test_a_stream_that_is_broken_off_is_paid_for_too(proxy):
    key = make_key(proxy, "partial", monthly_tokens=20)
    ask(proxy, key, "cut", stream=True)
    proxy.last_record()  # is written after the journal
    journal = next((proxy.folder / "usage").iterdir())
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    assert lines[-1]["num_completion_tokens"] == 2
    assert lines[-1]["estimated"]
    assert 0 < lines[-1]["num_prompt_tokens"] < 40


def test_scopes_bound_routes_and_models(proxy):
    routes = make_key(proxy, "routes", routes=["/predict"])
    models = make_key(proxy, "models", models=["other"])
    assert proxy.post("/predict", json={"input_text": "x"}, key=routes).status_code == 200
    for path in ("/v1/chat/completions", "/v1/completions"):
        refused = ask(proxy, routes, path=path)
        assert refused.status_code == 403
        assert refused.json()["error"]["code"] == "route_not_allowed"
    assert ask(proxy, models).json()["error"]["code"] == "model_not_allowed"
    listed = proxy.get("/v1/models", headers={"authorization": f"Bearer {models}"})
    assert listed.json()["data"] == []
    with (
        openai.OpenAI(base_url=f"{proxy.url}/v1", api_key=models, max_retries=0) as client,
        pytest.raises(openai.PermissionDeniedError),
    ):
        client.chat.completions.create(**chat_body())


def test_metrics_from_elsewhere_need_a_key_that_names_them(proxy):
    plain, scrape = make_key(proxy, "plain"), make_key(proxy, "scrape", routes=["/metrics"])
    forwarded = {"x-forwarded-for": "10.0.0.7"}  # a proxy on this machine lets the world in

    def status(key):
        headers = forwarded | ({"authorization": f"Bearer {key}"} if key else {})
        return proxy.get("/metrics", headers=headers).status_code

    assert (status(None), status(plain), status(scrape)) == (401, 403, 200)
    assert proxy.get("/metrics").status_code == 200


def test_an_expired_key_is_refused(proxy):
    key = make_key(proxy, "short", expires="2999-01-01T00:00:00+00:00")
    assert ask(proxy, key).status_code == 200
    past = create_key(proxy.keys_file, "past", expires="2020-01-01T00:00:00+00:00")
    time.sleep(0.3)
    assert ask(proxy, past).status_code == 401


def test_rotation_is_live_and_keeps_the_old_key_for_the_grace_time(proxy):
    old = make_key(proxy, "rotated")
    new = rotate_key(proxy.keys_file, "rotated", timedelta(hours=1))
    wait_until(lambda: ask(proxy, new).status_code == 200, 2)
    assert ask(proxy, old).status_code == 200
    newest = rotate_key(proxy.keys_file, "rotated", timedelta(0))
    wait_until(lambda: ask(proxy, newest).status_code == 200, 2)
    assert ask(proxy, old).status_code == 401
    assert ask(proxy, new).status_code == 401
    revoke_key(proxy.keys_file, "rotated")
    wait_until(lambda: ask(proxy, newest).status_code == 401, 2)


def test_who_finds_the_server_full_waits_in_the_queue(start_proxy):
    proxy = start_proxy("server.max_in_flight=1", "server.max_queue=10")
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: proxy.chat("delay 0.05"), range(6)))
    assert [answer.status_code for answer in answers] == [200] * 6
    assert "evqa_queue_seconds_bucket" in proxy.get("/metrics").text


def test_who_leaves_the_queue_is_never_sent_to_the_engine(engine, start_proxy):
    proxy = start_proxy("server.max_in_flight=1")
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(proxy.chat, "delay 1")
        wait_until(lambda: proxy.state.gate.in_flight == 1)
        before = len(engine.seen)
        with pytest.raises(httpx.ReadTimeout):
            proxy.post(json=chat_body("never"), timeout=0.2)
        wait_until(lambda: proxy.state.gate.num_waiting == 0)
        running.result()
    assert [body for body in engine.seen[before:] if "never" in str(body)] == []


def test_a_client_that_does_not_read_is_hung_up_on_and_frees_the_engine(
    engine, start_proxy, monkeypatch
):
    monkeypatch.setattr(call_module, "FAREWELL_S", 0.3)
    monkeypatch.setattr("evqa.serving.relay.FAREWELL_S", 0.3)
    proxy = start_proxy("server.timeouts.idle_s=0.5", "server.timeouts.first_byte_s=0.5")
    before = engine.cancelled
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        raw.connect(("127.0.0.1", proxy.port))
        body = json.dumps(chat_body("flood", stream=True)).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n"
        raw.sendall(f"{head}authorization: Bearer {proxy.key}\r\n\r\n".encode() + body)
        wait_until(lambda: engine.cancelled > before)
        wait_until(lambda: proxy.state.gate.in_flight == 0)
    assert proxy.last_record()["status"] == 499


def test_an_error_event_of_the_engine_is_told_in_our_shape_and_without_done(proxy):
    events = events_of(proxy.chat("error event", stream=True))
    assert text_of(events) == "one two three"
    assert events[-1]["error"]["code"] == "engine_error"
    assert "secret of the engine" not in str(events)
    assert "DONE" not in events


def test_an_answer_that_speaks_of_done_is_not_done(proxy):
    events = events_of(proxy.chat("says done in words, then cut", stream=True))
    assert events[-1]["error"]["code"] == "engine_error"


@pytest.mark.parametrize("how", ["hang up", "503", "cut at once"])
@pytest.mark.parametrize("stream", [False, True])
def test_another_engine_steps_in_when_one_fails_before_the_first_byte(start_proxy, how, stream):
    with MockEngine() as bad, MockEngine() as good:
        bad.always = how
        proxy = start_proxy(upstreams=[bad.url, good.url])
        wait_until(lambda: all(u.healthy for u in proxy.state.fleet.primary.pool.upstreams))
        for _ in range(6):
            answer = proxy.chat(stream=stream)
            assert answer.status_code == 200
            if stream:
                assert text_of(events_of(answer)) == "one two three"
        assert bad.seen


def test_a_request_that_kills_engines_does_not_kill_them_all(start_proxy):
    with MockEngine() as one, MockEngine() as two, MockEngine() as three:
        proxy = start_proxy(upstreams=[one.url, two.url, three.url])
        wait_until(lambda: all(u.healthy for u in proxy.state.fleet.primary.pool.upstreams))
        assert proxy.chat("hang up").status_code == 503
        assert len(one.seen) + len(two.seen) + len(three.seen) == 2


def test_after_the_first_byte_no_other_engine_is_asked(start_proxy):
    with MockEngine() as one, MockEngine() as two:
        proxy = start_proxy(upstreams=[one.url, two.url])
        wait_until(lambda: all(u.healthy for u in proxy.state.fleet.primary.pool.upstreams))
        assert events_of(proxy.chat("cut", stream=True))[-1]["error"]
        assert len(one.seen) + len(two.seen) == 1


def test_an_engine_that_comes_back_gets_requests_again(start_proxy):
    with MockEngine() as stays, MockEngine() as goes:
        proxy = start_proxy(upstreams=[stays.url, goes.url])
        ups = proxy.state.fleet.primary.pool.upstreams
        wait_until(lambda: all(u.healthy for u in ups))
        goes.sick = True
        wait_until(lambda: not ups[1].healthy, 3)
        before = len(goes.seen)
        assert [proxy.chat().status_code for _ in range(6)] == [200] * 6
        assert len(goes.seen) == before
        goes.sick = False
        wait_until(lambda: ups[1].healthy, 3)
        assert {proxy.chat().status_code for _ in range(4)} == {200}
        assert len(goes.seen) > before


def test_the_log_is_json_lines_without_prompt_answer_or_key(proxy):
    secret = "my secret question"
    proxy.chat(secret)
    proxy.chat(secret, stream=True)
    proxy.chat("500")
    refused = proxy.post(json=chat_body(secret), key="evqa-wrong-key")
    proxy.wait_for_books(refused.headers["x-request-id"])
    proxy.log.close()
    text = (proxy.folder / "server.log").read_text()
    rows = [json.loads(line) for line in text.splitlines()]
    requests = [row for row in rows if row["event"] == "request"]
    assert [row["status"] for row in requests] == [200, 200, 502, 401]
    assert requests[0]["num_completion_tokens"] == 3
    assert requests[1]["ttft_ms"] > 0
    assert requests[3]["error"] == "invalid_api_key"
    for hidden in ("secret", "one two", proxy.key, "evqa-wrong-key"):
        assert hidden not in text


def test_the_engine_gets_our_request_id(engine, proxy):
    answer = proxy.chat()
    assert engine.headers[-1]["X-Request-ID"] == answer.headers["x-request-id"]


def test_a_prompt_over_the_context_has_openais_code(proxy):
    error = proxy.chat("too long").json()["error"]
    assert error["code"] == "context_length_exceeded"


def test_everything_at_once(start_proxy):
    """Good streams among every misbehaviour of engine and client: none of them is harmed."""
    proxy = start_proxy("server.timeouts.idle_s=1", "server.timeouts.first_byte_s=1")
    bad = ["cut", "half event", "500", "hang mid", "no done", "hang up", "not json", "html"]
    stop = threading.Event()

    def misbehave(number):
        while not stop.is_set():
            how = bad[number % len(bad)]
            with contextlib.suppress(httpx.HTTPError):
                proxy.post(json=chat_body(how, stream=number % 3 > 0), timeout=0.3)
            proxy.post(content=b"[" * 3000, timeout=5)

    threads = [threading.Thread(target=misbehave, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    try:
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: proxy.chat("slow 0.05", stream=True), range(40)))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert all(events_of(answer)[-1] == "DONE" for answer in answers)
    wait_until(lambda: proxy.state.gate.in_flight == 0)
    proxy.log.close()
    assert "exception" not in (proxy.folder / "server.log").read_text()
