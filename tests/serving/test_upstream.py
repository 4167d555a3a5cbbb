import json

import pytest

from evqa.serving.upstream import UpstreamPool, error_of_status


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
