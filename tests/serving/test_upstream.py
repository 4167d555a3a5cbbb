import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evqa.serving.api_error import ApiError
from evqa.serving.upstream import (
    UpstreamLostError,
    UpstreamPool,
    engine_broke,
    engine_timed_out,
    error_of_status,
)


def pool(*urls):
    return UpstreamPool(list(urls), None, health_path="/health")


def test_an_engine_that_was_tried_comes_last_whatever_its_health():
    engines = pool("http://a", "http://b")
    first, second = engines.upstreams
    first.healthy, second.healthy = True, False
    assert engines.pick(set()) is first
    assert engines.pick({first}) is second
    assert engines.pick({first, second}) is first


def test_health_counts_more_than_load():
    engines = pool("http://a", "http://b")
    first, second = engines.upstreams
    second.healthy, second.outstanding = True, 100
    assert engines.pick(set()) is second
    assert engines.ready
    assert not pool("http://a").ready
    assert first.url == "http://a"


def test_a_slash_at_the_end_of_an_address_does_not_matter():
    assert pool("http://a/").upstreams[0].url == "http://a"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        *((status, 400) for status in (400, 422)),
        *((status, 503) for status in (429, 503)),
        *((status, 502) for status in (204, 302, 401, 403, 404, 418, 500, 504)),
    ],
)
def test_every_status_of_the_engine_has_its_own(status, expected):
    assert error_of_status(status, b"{}").status == expected


MESSAGES = {
    b'{"error": {"message": "too\\n long"}}': "too long",
    b'{"message": "plain"}': "plain",
    b'{"error": "text"}': "the engine refused the request",
    b"not json": "the engine refused the request",
    b"[]": "the engine refused the request",
    b"[" * 100_000: "the engine refused the request",
    b'{"error": {"message": ""}}': "the engine refused the request",
}


@pytest.mark.parametrize(("data", "message"), MESSAGES.items(), ids=range(len(MESSAGES)))
def test_the_engines_reason_is_told_where_there_is_one(data, message):
    assert str(error_of_status(400, data)) == message


def test_a_long_reason_is_cut():
    data = json.dumps({"message": "x" * 10_000}).encode()
    assert len(str(error_of_status(400, data))) == 500


def ask(engines, outcomes, begun=lambda: False):
    """Run `ask` with what each engine does; return the urls asked, and how it ended."""
    asked = []

    async def attempt(upstream):
        asked.append(upstream.url)
        outcome = outcomes[upstream.url]
        outcome = outcome.pop(0) if isinstance(outcome, list) else outcome
        if outcome is not None:
            raise outcome

    async def work():
        try:
            await engines.ask(attempt, begun)
        except ApiError as error:
            return error.status
        return 200

    status = asyncio.run(work())
    assert all(upstream.outstanding == 0 for upstream in engines.upstreams)
    return asked, status


def healthy(*urls):
    engines = pool(*urls)
    for upstream in engines.upstreams:
        upstream.healthy = True
    return engines


LOST = UpstreamLostError("refused", reached=False)
HUNG_UP = UpstreamLostError("hung up", reached=True)
BROKEN = engine_broke("was cut off")
BUSY = error_of_status(503, b"")
MISTAKE = error_of_status(400, b"")
HANGS = engine_timed_out("to begin")


@pytest.mark.parametrize(
    ("first", "num_asked", "status"),
    [
        (None, 1, 200),
        (LOST, 2, 200),
        (HUNG_UP, 2, 200),
        (BROKEN, 2, 200),
        (BUSY, 2, 200),
        (MISTAKE, 1, 400),  # the client's own
        (HANGS, 1, 504),  # the time is over
    ],
)
def test_what_another_engine_is_asked_after(first, num_asked, status):
    engines = healthy("http://a", "http://b")
    asked, ended = ask(engines, {"http://a": first, "http://b": None})
    assert (len(asked), ended) == (num_asked, status)


@pytest.mark.parametrize(
    ("outcome", "num_asked", "status"),
    [(LOST, 4, 503), (HUNG_UP, 2, 503), (BROKEN, 3, 502), (BUSY, 3, 503)],
)
def test_how_many_engines_are_asked_at_most(outcome, num_asked, status):
    urls = [f"http://{name}" for name in "abcd"]
    asked, ended = ask(healthy(*urls), dict.fromkeys(urls, outcome))
    assert len(set(asked)) == len(asked) == num_asked
    assert ended == status


@pytest.mark.parametrize(("outcome", "num_asked"), [(LOST, 2), (HUNG_UP, 2), (BROKEN, 1)])
def test_a_single_engine_is_asked_again_only_where_its_connection_was_stale(outcome, num_asked):
    asked, _ = ask(healthy("http://a"), {"http://a": outcome})
    assert len(asked) == num_asked
    asked, status = ask(healthy("http://a"), {"http://a": [HUNG_UP, None]})
    assert (len(asked), status) == (2, 200)


def test_after_the_first_byte_nothing_is_tried_again():
    engines = healthy("http://a", "http://b")
    asked, status = ask(engines, {"http://a": BROKEN, "http://b": None}, begun=lambda: True)
    assert (len(asked), status) == (1, 502)


def test_an_engine_that_was_lost_is_not_healthy_until_it_is_asked_again():
    engines = healthy("http://a", "http://b")
    ask(engines, {"http://a": LOST, "http://b": None})
    assert [upstream.healthy for upstream in engines.upstreams] == [False, True]


def test_without_any_engine_clients_are_told_when_to_come_again():
    engines = pool()
    engines.retry_after_s = 7
    with pytest.raises(ApiError) as caught:
        engines.pick(set())
    assert (caught.value.status, caught.value.retry_after_s) == (503, 7)


def test_engines_that_are_alike_take_turns():
    engines = healthy("http://a", "http://b", "http://c")
    picked = [engines.pick(set()).url for _ in range(9)]
    assert {url: picked.count(url) for url in set(picked)} == dict.fromkeys(picked, 3)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3)), min_size=2, max_size=6), st.data())
def test_never_one_that_is_worse_than_another(states, data):
    """Property: no engine left is healthier, or as healthy and less busy."""
    engines = pool(*(f"http://{number}" for number in range(len(states))))
    for upstream, (is_healthy, outstanding) in zip(engines.upstreams, states, strict=True):
        upstream.healthy, upstream.outstanding = is_healthy, outstanding
    tried = data.draw(st.sets(st.sampled_from(engines.upstreams), max_size=len(states) - 1))
    picked = engines.pick(tried)
    assert picked not in tried
    for other in set(engines.upstreams) - tried:
        assert (not picked.healthy, picked.outstanding) <= (not other.healthy, other.outstanding)


@pytest.mark.parametrize(
    ("header", "told_s"),
    [("5", 5), ("99999", 600), ("soon", 2), ("", 2), ("-1", 2), ("٣", 2)],
)
def test_a_busy_engines_retry_after_is_handed_on_within_reason(header, told_s):
    assert error_of_status(503, b"", {"retry-after": header}).retry_after_s == told_s


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 512 tokens. However, you requested 600 tokens",
        "The decoder prompt (length 900) is longer than the maximum model length of 512.",
    ],
)
def test_a_prompt_over_the_context_has_openais_code(message):
    data = json.dumps({"error": {"message": message}}).encode()
    assert error_of_status(400, data).code == "context_length_exceeded"


def test_the_key_of_engines_elsewhere_is_sent():
    engines = UpstreamPool(["http://a"], "secret", health_path="/health")
    assert engines.upstreams[0].headers == {"authorization": "Bearer secret"}
    engines.replace(["http://b/"], None, healthy=True)
    assert (engines.upstreams[0].url, engines.upstreams[0].headers) == ("http://b", {})
    assert engines.ready
