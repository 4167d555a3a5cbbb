"""The proxy in front of an engine that misbehaves."""

import hashlib
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from loopback import USAGE, MockEngine, chat_body, events_of, text_of, wait_until

from evqa.files import sha256_json
from evqa.serving.clock import Beat
from evqa.serving.relay import CROWD

HASTY = [
    "server.timeouts.first_byte_s=0.3",
    "server.timeouts.idle_s=0.3",
    "server.timeouts.total_s=1",
]


def test_an_answer_in_one_piece_passes_unchanged(proxy):
    response = proxy.chat()
    assert response.status_code == 200
    assert response.json()["choices"][0]["message"]["content"] == "one two three"
    assert response.headers["x-request-id"].startswith("req_")
    assert response.headers["x-model-version"] == "external"


def test_a_stream_passes_whole_and_says_done(proxy):
    response = proxy.chat(stream=True)
    events = events_of(response)
    assert text_of(events) == "one two three"
    assert events[-1] == "DONE"
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["x-request-id"].startswith("req_")


def test_usage_is_passed_on_only_where_it_is_wanted(proxy):
    silent = events_of(proxy.chat(stream=True))
    asked = events_of(proxy.chat(stream=True, stream_options={"include_usage": True}))
    assert not any("usage" in e for e in silent if isinstance(e, dict))
    assert asked[-2]["usage"] == USAGE
    assert asked[-2]["choices"] == []


def test_the_engine_gets_the_checked_body_and_its_own_key(engine, start_proxy, monkeypatch):
    monkeypatch.setenv("EVQA_UPSTREAM_KEY", "secret-of-the-engine")
    proxy = start_proxy()
    proxy.chat("ok", temperature=0, user="someone")
    assert engine.seen[-1] == {**chat_body("ok"), "temperature": 0}
    assert engine.headers[-1]["Authorization"] == "Bearer secret-of-the-engine"
    assert proxy.key not in str(engine.headers[-1])


def test_events_cut_anywhere_arrive_whole(proxy):
    assert text_of(events_of(proxy.chat("splinters", stream=True))) == "one two three füür"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("how", "status", "code"),
    [
        ("500", 502, "engine_error"),
        ("401", 502, "engine_error"),
        ("404", 502, "engine_error"),
        ("302", 502, "engine_error"),
        ("503", 503, "engine_unavailable"),
        ("429", 503, "engine_unavailable"),
        ("hang up", 503, "engine_unavailable"),
    ],
)
def test_errors_of_the_engine_are_shaped(proxy, how, status, code, stream):
    response = proxy.chat(how, stream=stream)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (status, code)
    assert error["request_id"] == response.headers["x-request-id"]
    assert "mock error" not in error["message"]
    assert ("retry-after" in response.headers) == (status == 503)


def test_a_mistake_of_the_client_found_by_the_engine_is_told(proxy):
    response = proxy.chat("400")
    assert response.status_code == 400
    assert response.json()["error"]["message"] == "mock error 400"


@pytest.mark.parametrize("how", ["cut", "not json", "[]", "{}", '{"choices": [1]}'])
def test_a_broken_answer_is_a_502(proxy, how):
    response = proxy.chat(how)
    assert response.status_code == 502
    assert response.json()["error"]["code"] == "engine_error"


@pytest.mark.parametrize("how", ["cut", "half event", "no done", "endless event"])
def test_a_broken_stream_ends_with_an_error_and_never_with_done(proxy, how):
    events = events_of(proxy.chat(how, stream=True))
    assert text_of(events).startswith("one two ")
    assert events[-1]["error"]["code"] == "engine_error"
    assert "DONE" not in events
    assert proxy.last_record()["status"] == 502


def test_a_stream_that_is_none_is_a_502(proxy):
    assert proxy.chat("html", stream=True).status_code == 502


@pytest.mark.parametrize("how", ["hang", "hang after headers"])
def test_a_stream_that_never_begins_is_a_504(start_proxy, how):
    response = start_proxy(*HASTY).chat(how, stream=True)
    assert response.status_code == 504
    assert response.json()["error"]["code"] == "engine_timeout"


def test_an_answer_that_never_comes_is_a_504(start_proxy):
    response = start_proxy("server.timeouts.total_s=0.3").chat("hang")
    assert response.status_code == 504


def test_a_stream_that_stalls_ends_with_an_error(start_proxy):
    proxy = start_proxy(*HASTY)
    events = events_of(proxy.chat("hang mid", stream=True))
    assert text_of(events) == "one two "
    assert events[-1]["error"]["code"] == "engine_timeout"
    assert proxy.last_record()["status"] == 504


def test_a_stream_that_is_slow_but_steady_is_left_alone(start_proxy):
    proxy = start_proxy("server.timeouts.first_byte_s=0.3", "server.timeouts.idle_s=0.3")
    assert events_of(proxy.chat("slow 0.2", stream=True))[-1] == "DONE"


def test_a_stream_past_its_total_time_is_ended(start_proxy):
    proxy = start_proxy("server.timeouts.total_s=0.5")
    events = events_of(proxy.chat("slow 0.4", stream=True))
    assert events[-1]["error"]["code"] == "engine_timeout"


def test_a_dead_engine_is_a_503_and_not_ready(start_proxy):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        proxy = start_proxy(upstreams=[f"http://127.0.0.1:{unused.getsockname()[1]}"])
        for stream in (False, True):
            response = proxy.chat(stream=stream)
            assert response.status_code == 503
            assert response.headers["retry-after"]
        assert proxy.get("/ready").status_code == 503
        assert proxy.get("/health").status_code == 200


@pytest.mark.parametrize("how", ["hang", "hang mid"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_stops_the_engine(engine, proxy, how, stream):
    if not stream and how == "hang mid":
        how = "delay 30"
    before = engine.cancelled
    with pytest.raises(httpx.ReadTimeout):
        proxy.post(json=chat_body(how, stream=stream), timeout=0.3)
    left = time.monotonic()
    wait_until(lambda: engine.cancelled > before)
    assert time.monotonic() - left < 0.5
    assert proxy.last_record()["status"] == 499
    assert proxy.state.gate.in_flight == 0


def test_many_streams_at_once_all_complete(proxy):
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda _: proxy.chat("slow 0.05", stream=True), range(64)))
    assert all(events_of(answer)[-1] == "DONE" for answer in answers)
    wait_until(lambda: len(proxy.records()) == 64)  # written after the last byte
    assert len({record["id"] for record in proxy.records()}) == 64


def test_too_many_requests_in_flight_are_turned_away(start_proxy):
    proxy = start_proxy("server.max_in_flight=2", "server.max_queue=0")
    threads = [threading.Thread(target=proxy.chat, args=("delay 0.8",)) for _ in range(2)]
    for thread in threads:
        thread.start()
    wait_until(lambda: proxy.state.gate.in_flight == 2)
    refused = proxy.chat()
    assert refused.status_code == 503
    assert refused.json()["error"]["code"] == "server_busy"
    assert refused.headers["retry-after"]
    for thread in threads:
        thread.join()
    assert proxy.chat().status_code == 200


def test_a_server_that_stops_turns_new_requests_away_and_finishes_old_ones(proxy):
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(proxy.chat, "slow 0.3", stream=True)
        wait_until(lambda: proxy.state.gate.in_flight == 1)
        proxy.state.gate.draining = True
        assert proxy.chat().json()["error"]["code"] == "server_stopping"
        assert proxy.get("/ready").json()["status"] == "draining"
        assert events_of(running.result())[-1] == "DONE"


def test_another_engine_steps_in_before_the_first_byte(engine, start_proxy):
    with socket.socket() as dead:
        dead.bind(("127.0.0.1", 0))
        proxy = start_proxy(upstreams=[f"http://127.0.0.1:{dead.getsockname()[1]}", engine.url])
        assert [proxy.chat().status_code for _ in range(5)] == [200] * 5


def test_the_engine_with_the_least_outstanding_requests_is_next(engine, start_proxy):
    with MockEngine() as other:
        proxy = start_proxy(upstreams=[engine.url, other.url])
        wait_until(lambda: all(u.healthy for u in proxy.state.fleet.primary.pool.upstreams))
        before = len(engine.seen)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: proxy.chat("delay 0.5"), range(8)))
        assert (len(engine.seen) - before, len(other.seen)) == (4, 4)
        assert all(u.outstanding == 0 for u in proxy.state.fleet.primary.pool.upstreams)


def pieces_of(proxy, how):
    """An answer as it comes off the wire."""
    with httpx.stream(
        "POST", f"{proxy.url}/v1/chat/completions", headers=proxy.authorization,
        json=chat_body(how, stream=True), trust_env=False, timeout=20,
    ) as answer:  # fmt: skip
        return list(answer.iter_raw())


def numbers_of(pieces):
    blocks = [b for b in b"".join(pieces).split(b"\n\n") if b.startswith(b"data: {")]
    return [int(n) for n in text_of([json.loads(block[6:]) for block in blocks]).split()]


class CountingBeat(Beat):
    num_held = 0

    async def hold(self, transport):
        self.num_held += 1
        await super().hold(transport)


def test_only_in_a_crowd_hasty_streams_are_held_and_they_come_whole(proxy):
    proxy.state.beat = beat = CountingBeat()
    alone = pieces_of(proxy, "hasty 100")
    assert beat.num_held == 0
    with ThreadPoolExecutor(2 * CROWD) as pool:
        crowd = list(pool.map(lambda _: pieces_of(proxy, "hasty 100"), range(2 * CROWD)))
    assert all(numbers_of(pieces) == list(range(100)) for pieces in [alone, *crowd])
    assert beat.num_held > 2 * CROWD


@pytest.mark.parametrize("how", ["client leaves", "engine dies"])
def test_streams_that_break_off_in_a_crowd_harm_no_other(proxy, how):
    def one(number):
        if number % 2 == 0:
            return numbers_of(pieces_of(proxy, "hasty 100"))
        if how == "engine dies":
            return events_of(proxy.chat("cut", stream=True))[-1]
        with httpx.stream(
            "POST", f"{proxy.url}/v1/chat/completions", headers=proxy.authorization,
            json=chat_body("hasty 100", stream=True), trust_env=False, timeout=20,
        ) as answer:  # fmt: skip
            next(answer.iter_raw())
        return None

    with ThreadPoolExecutor(2 * CROWD) as pool:
        endings = list(pool.map(one, range(4 * CROWD)))
    assert endings[::2] == [list(range(100))] * 2 * CROWD
    assert "DONE" not in endings[1::2]
    wait_until(lambda: proxy.state.gate.in_flight == 0)
    assert proxy.chat(stream=True).status_code == 200


def test_a_record_tells_what_happened_without_the_texts(proxy):
    response = proxy.chat("a secret question", stream=True)
    record = proxy.last_record()
    assert record["id"] == response.headers["x-request-id"]
    assert record["prompt_sha256"] == sha256_json(
        [{"role": "user", "content": "a secret question"}]
    )
    assert record["answer_sha256"] == hashlib.sha256(b"one two three").hexdigest()
    assert (record["num_prompt_tokens"], record["num_completion_tokens"]) == (5, 3)
    assert 0 < record["ttft_ms"] <= record["latency_ms"]
    assert record["status"] == 200
    written = "".join(f.read_text() for f in (proxy.folder / "requests").iterdir())
    assert "secret" not in written
    assert "two" not in written
    assert proxy.key not in written


def test_a_broken_stream_is_accounted_for_as_far_as_it_came(proxy):
    proxy.chat("cut", stream=True)
    record = proxy.last_record()
    assert record["num_completion_tokens"] == 2
    assert record["answer_sha256"] == hashlib.sha256(b"one two ").hexdigest()


def test_texts_are_recorded_only_when_asked_for(start_proxy):
    proxy = start_proxy("server.record_text=true")
    proxy.chat("how long?")
    record = proxy.last_record()
    assert record["prompt"] == [{"role": "user", "content": "how long?"}]
    assert record["answer"] == "one two three"


def test_a_request_is_answered_even_when_its_record_cannot_be_written(proxy, caplog):
    (proxy.folder / "requests").rmdir()
    assert proxy.chat().status_code == 200
    wait_until(lambda: "record was not written" in caplog.text)


def test_predict_takes_a_text_and_gives_a_text(engine, proxy):
    response = proxy.post("/predict", json={"input_text": "how long?"})
    assert response.json() == {
        "output_text": "one two three",
        "finish_reason": "stop",
        "model": "evqa",
    }
    assert engine.seen[-1]["messages"] == [{"role": "user", "content": "how long?"}]


@pytest.mark.parametrize(
    "answer",
    [
        '{"choices": [{"message": {"content": null}}], "usage": []}',
        '{"choices": [{"message": {"content": [1]}}], "usage": {"prompt_tokens": "x"}}',
    ],
)
def test_an_odd_answer_is_passed_on_and_accounted_for_as_far_as_it_makes_sense(proxy, answer):
    assert proxy.chat(answer).text == answer
    assert proxy.last_record()["num_completion_tokens"] is None


def test_completions_are_relayed_too(engine, proxy):
    response = proxy.post("/v1/completions", json={"model": "evqa", "prompt": "ok"})
    assert response.status_code == 200
    assert engine.seen[-1] == {"model": "evqa", "prompt": "ok"}
