import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evqa.serving.api_error import ApiError
from evqa.serving.intake import ClientGoneError, header, read_body, unless_gone

GONE = {"type": "http.disconnect"}


def scope(*headers):
    return {"headers": list(headers)}


def source(*messages, then=None):
    """A `receive` that gives these, and then waits for ever (or gives ``then``)."""
    left = list(messages)

    async def receive():
        if left:
            return left.pop(0)
        if then is None:
            await asyncio.sleep(60)
        return then

    return receive


def body(data, *, more=False):
    return {"type": "http.request", "body": data, "more_body": more}


def read(*messages, max_bytes=100, timeout_s=0.1, headers=()):
    return asyncio.run(read_body(scope(*headers), source(*messages), max_bytes, timeout_s))


@given(st.lists(st.binary(max_size=20), max_size=5))
def test_pieces_are_put_together(pieces):
    messages = [body(piece, more=True) for piece in pieces] + [body(b"")]
    assert read(*messages) == b"".join(pieces)


@pytest.mark.parametrize("size", [99, 100, 101, 1000])
def test_the_bound_is_exact_however_it_is_cut(size):
    for cut in (0, 1, size // 2, size):
        messages = (body(b"x" * cut, more=True), body(b"x" * (size - cut)))
        if size <= 100:
            assert len(read(*messages)) == size
        else:
            with pytest.raises(ApiError) as caught:
                read(*messages)
            assert caught.value.status == 413


def test_what_is_too_large_is_read_to_its_end_before_it_is_refused():
    messages = [body(b"x" * 60, more=True)] * 9 + [body(b"x")]
    receive = source(*messages, then=GONE)

    async def work():
        with pytest.raises(ApiError):
            await read_body(scope(), receive, 100, 1)
        return await receive()

    assert asyncio.run(work()) == GONE


@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        ([(b"content-length", b"101"), (b"expect", b"100-continue")], True),
        ([(b"content-length", b"100"), (b"expect", b"100-continue")], False),
        ([(b"content-length", b"101")], False),  # it is read, counted and refused then
        ([(b"content-length", b"99999999999")], True),
        ([(b"content-length", b"x")], False),
    ],
)
def test_a_declared_length_is_refused_at_once_where_the_client_waits_or_it_is_beyond_measure(
    headers, refused
):
    async def never():
        raise AssertionError("nothing is to be read")

    async def work():
        await read_body(scope(*headers), never if refused else source(body(b"ok")), 100, 1)

    if refused:
        with pytest.raises(ApiError, match="larger than 100"):
            asyncio.run(work())
    else:
        asyncio.run(work())


def test_a_slow_body_and_a_client_that_leaves():
    with pytest.raises(ApiError) as caught:
        read(body(b"x", more=True))
    assert caught.value.status == 408
    with pytest.raises(ClientGoneError):
        read(body(b"x", more=True), GONE)


def test_the_first_header_of_a_name_counts():
    found = scope((b"a", b"1"), (b"b", b"2"), (b"b", b"3"))
    assert (header(found, b"b"), header(found, b"c")) == (b"2", None)


async def _quick():
    await asyncio.sleep(0)


def test_work_that_ends_leaves_no_watcher():
    async def main():
        await unless_gone(_quick(), source(), lambda: False)
        await asyncio.sleep(0)
        return [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]

    assert asyncio.run(main()) == []


def test_a_client_that_leaves_cancels_the_work():
    cancelled = []

    async def work():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    with pytest.raises(ClientGoneError):
        asyncio.run(unless_gone(work(), source(then=GONE), lambda: False))
    assert cancelled == [True]


def test_a_client_that_leaves_after_the_last_byte_cancels_nothing():
    done = []

    async def work():
        await asyncio.sleep(0.02)  # closing the connection to the engine
        done.append(True)

    asyncio.run(unless_gone(work(), source(then=GONE), lambda: True))
    assert done == [True]


def test_an_error_of_the_work_is_its_own():
    async def work():
        raise ApiError(502, "broken")

    with pytest.raises(ApiError, match="broken"):
        asyncio.run(unless_gone(work(), source(), lambda: False))


def test_a_cancellation_from_outside_stays_one():
    async def main():
        task = asyncio.create_task(unless_gone(asyncio.sleep(60), source(), lambda: False))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


@given(st.integers(0, 6))
def test_whenever_the_client_leaves_the_end_is_one_of_two(turns):
    """The client's leaving and the work's end race: it is told as one or as the other."""

    async def receive():
        for _ in range(turns):
            await asyncio.sleep(0)
        return GONE

    async def work():
        for _ in range(3):
            await asyncio.sleep(0)

    async def main():
        try:
            await unless_gone(work(), receive, lambda: False)
        except ClientGoneError:
            outcome = "gone"
        else:
            outcome = "done"
        await asyncio.sleep(0.001)  # a cancellation that comes late would strike here
        return outcome

    assert asyncio.run(main()) in ("gone", "done")
