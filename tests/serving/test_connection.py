"""uvicorn's connection with our bounds, without a network."""

import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.config import Config
from uvicorn.server import ServerState

from evqa.serving.connection import MAX_HEADER_BYTES, MAX_HEADERS, bounded_protocol


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self):
        super().__init__()
        self.written = b""
        self.closed = self.aborted = False

    def write(self, data):
        assert not self.closed, "uvloop raises here"
        self.written += data

    def is_closing(self):
        return self.closed

    def close(self):
        self.closed = True

    def abort(self):
        self.closed = self.aborted = True

    def pause_reading(self):
        pass

    def resume_reading(self):
        pass


async def application(_scope, receive, send):
    """Reads the body and says ok."""
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})


def connect(header_s=0.2):
    config = Config(application, log_level="critical", lifespan="off")
    protocol = bounded_protocol(header_s, lambda: "evqa/7")(config, ServerState(), {})
    transport = Transport()
    protocol.connection_made(transport)
    return protocol, transport


def run(*pieces, pause_s=0.0, wait_s=0.02):
    """Send pieces; return what came back, and whether the connection was closed."""

    async def work():
        protocol, transport = connect()
        for piece in pieces:
            if not transport.closed:
                protocol.data_received(piece)
            await asyncio.sleep(pause_s)
        await asyncio.sleep(wait_s)
        return transport.written, transport.closed

    return asyncio.run(work())


GOOD = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


@given(st.lists(st.integers(0, len(GOOD)), max_size=6))
def test_a_request_is_answered_wherever_it_is_cut(cuts):
    edges = [0, *sorted(cuts), len(GOOD)]
    pieces = [GOOD[a:b] for a, b in itertools.pairwise(edges)]
    written, closed = run(*pieces, wait_s=0.005)
    assert written.startswith(b"HTTP/1.1 200")
    assert not closed


@pytest.mark.parametrize("number", [MAX_HEADERS, MAX_HEADERS + 1])
def test_the_number_of_headers_is_bounded_exactly(number):
    lines = b"".join(b"x-%d: y\r\n" % n for n in range(number))
    written, closed = run(b"GET / HTTP/1.1\r\n" + lines + b"\r\n")
    assert written.startswith(b"HTTP/1.1 200" if number <= MAX_HEADERS else b"HTTP/1.1 431")
    assert closed == (number > MAX_HEADERS)
    if closed:
        assert b"x-request-id: req_" in written
        assert b"x-model-version: evqa/7" in written


@pytest.mark.parametrize("size", [100, MAX_HEADER_BYTES])
@pytest.mark.parametrize("where", ["url", "name", "value"])
def test_the_size_of_headers_is_bounded_wherever_it_is(size, where):
    long = b"y" * size
    parts = {"url": b"/", "name": b"x", "value": b"y"} | {where: b"/" + long}
    parts["name"] = parts["name"].replace(b"/", b"x")
    request = b"GET %(url)b HTTP/1.1\r\n%(name)b: %(value)b\r\n\r\n" % {
        key.encode(): value for key, value in parts.items()
    }
    written, _ = run(request)
    assert written.startswith(b"HTTP/1.1 200" if size == 100 else b"HTTP/1.1 431")


def test_each_request_of_a_connection_has_its_own_count():
    lines = b"".join(b"x-%d: y\r\n" % n for n in range(MAX_HEADERS - 1))
    request = b"GET / HTTP/1.1\r\n" + lines + b"\r\n"
    written, closed = run(request, request, request, pause_s=0.01)
    assert written.count(b"HTTP/1.1 200") == 3
    assert not closed


def test_a_connection_that_says_nothing_is_closed_and_one_in_a_request_is_not():
    assert run(wait_s=0.4) == (b"", True)
    assert run(b"GET / HT", wait_s=0.4) == (b"", True)
    body = b"POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\nab"
    assert run(body, wait_s=0.4) == (b"", False)  # the body has its own clock


def test_the_clock_starts_again_with_the_next_request():
    written, closed = run(GOOD, b"GET / HT", pause_s=0.05, wait_s=0.4)
    assert written.count(b"200 OK") == 1
    assert closed


@given(st.binary(max_size=300))
def test_noise_is_refused_or_waited_for_and_never_an_error(noise):
    written, _ = run(noise, wait_s=0)
    assert written == b"" or written.startswith(b"HTTP/1.1 ")


def test_pieces_are_framed_while_the_client_reads():
    async def work():
        protocol, transport = connect()
        assert protocol.write_piece(b"hello")
        assert transport.written == b"5\r\nhello\r\n"
        protocol.flow.pause_writing()
        assert not protocol.write_piece(b"x")
        protocol.flow.resume_writing()
        transport.closed = True
        assert not protocol.write_piece(b"x")
        protocol.hang_up()
        assert transport.aborted

    asyncio.run(work())
