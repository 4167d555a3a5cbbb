"""Served systems, also when they are down, slow, broken, or end a stream in its middle."""

import socket

import pytest
from answers_for_tests import question
from fake_endpoint import FakeEndpoint

from evqa.config.evaluation import EndpointConfig, GenerationConfig
from evqa.errors import OutsideError, UserError
from evqa.evaluation.endpoint import EndpointAnswerer
from evqa.evaluation.predict import Store, predict

QUESTIONS = [question(n) for n in range(9)]


def said(text):
    return f"You asked: {text}"


def answerer(server, model=None, **settings):
    config = EndpointConfig(**{"max_in_flight": 4, "timeout_s": 5.0, "max_retries": 0, **settings})
    return EndpointAnswerer("it", server.url, model, config, GenerationConfig())


def ask(server, store=None, **settings):
    return predict(
        answerer(server, **settings),
        QUESTIONS,
        [0],
        Store() if store is None else store,
        lambda _: None,
    )


def test_answers_come_in_order_with_their_usage():
    with FakeEndpoint(said) as server:
        made = ask(server)
    assert [p.text for p in made] == [said(q.question) for q in QUESTIONS]
    assert {p.finish_reason for p in made} == {"stop"}
    assert all(p.num_prompt_tokens == 7 and p.num_completion_tokens == 5 for p in made)
    assert all(0 < p.ttft_ms <= p.latency_ms for p in made)


def test_the_key_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("MY_KEY", "secret")
    with FakeEndpoint(said) as server:
        answerer(server, api_key_env="MY_KEY")
        assert server.keys == ["Bearer secret"]


def test_the_first_listed_model_is_taken_and_a_wrong_one_refused():
    with FakeEndpoint(said, models=("a", "b")) as server:
        assert answerer(server).model == "a"
        assert answerer(server, "b").model == "b"
        with pytest.raises(UserError, match="does not serve 'c', only a, b"):
            answerer(server, "c")


@pytest.mark.parametrize(
    ("trouble", "error", "message"),
    [
        ("500", OutsideError, "question q5: HTTP 500"),
        ("half", OutsideError, "question q5: .*the stream broke off before its end"),
        ("cut", OutsideError, "question q5: "),
        ("401", UserError, "refuses the key.*EVQA_API_KEY"),
    ],
)
def test_a_failure_is_one_line_and_the_answers_before_it_are_kept(
    tmp_path, trouble, error, message
):
    path = tmp_path / "predictions.jsonl"
    broken = QUESTIONS[5].question
    with FakeEndpoint(said, lambda _n, text: trouble if text == broken else None) as server:
        with pytest.raises(error, match=message) as failure:
            ask(server, Store(path))
        assert "\n" not in str(failure.value)
        assert len(Store(path)) == 7
        server.trouble = lambda _n, _text: None
        server.asked.clear()
        assert len(ask(server, Store(path))) == 9
        assert len(server.asked) == 2  # the one that failed, and the last batch


def test_a_slow_answer_runs_into_the_time_out():
    with (
        FakeEndpoint(said, lambda n, _text: "slow" if n == 1 else None) as server,
        pytest.raises(OutsideError, match=r"no answer within 0.5 s \(endpoint.timeout_s\)"),
    ):
        ask(server, timeout_s=0.5)


@pytest.mark.parametrize("trouble", ["500", "half"])
def test_a_passing_failure_is_tried_again(trouble):
    with FakeEndpoint(said, lambda n, _text: trouble if n == 2 else None) as server:
        assert len(ask(server, max_retries=2)) == 9
        assert len(server.asked) == 10


def test_nobody_there():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = EndpointConfig(max_retries=0)
    with pytest.raises(OutsideError, match=f"http://127.0.0.1:{port}/v1: .*cannot be reached"):
        EndpointAnswerer("it", f"http://127.0.0.1:{port}/v1", None, config, GenerationConfig())


def test_timing_shares_pieces_among_tokens():
    with FakeEndpoint(said) as server:
        timings = answerer(server).time(["one two three", "four"], 8)
    assert len(timings) == 2
    assert timings[0].num_tokens == 5
    assert len(timings[0].gaps_ms) == 4
    assert timings[0].ttft_ms <= timings[0].total_ms
