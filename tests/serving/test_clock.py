import asyncio
import time

import pytest

from evqa.serving.clock import StreamClock


def timed_out(work):
    """Return what took too long, and after how long."""

    async def run():
        started = time.monotonic()
        with pytest.raises(TimeoutError) as caught:
            await work()
        return str(caught.value), time.monotonic() - started

    return asyncio.run(run())


def test_a_stream_that_never_begins():
    async def work():
        with StreamClock(0.1, 5, 5):
            await asyncio.sleep(3)

    what, took_s = timed_out(work)
    assert what == "to begin its answer"
    assert 0.08 < took_s < 1


@pytest.mark.parametrize("first_s", [0.05, 3])
def test_a_stream_that_stalls(first_s):
    async def work():
        with StreamClock(first_s, 0.1, 5) as clock:
            clock.tick()
            await asyncio.sleep(0.06)
            clock.tick()
            await asyncio.sleep(3)

    what, took_s = timed_out(work)
    assert what == "between two events"
    assert 0.15 < took_s < 1


def test_a_stream_without_end():
    async def work():
        with StreamClock(1, 1, 0.2) as clock:
            while True:
                clock.tick()
                await asyncio.sleep(0.01)

    what, took_s = timed_out(work)
    assert what == "to end its answer"
    assert took_s < 1


def test_one_in_time_is_left_alone():
    async def work():
        with StreamClock(0.05, 0.1, 1) as clock:
            for _ in range(10):
                clock.tick()
                await asyncio.sleep(0.03)
        await asyncio.sleep(0.2)
        return "done"

    assert asyncio.run(work()) == "done"


def test_a_cancellation_from_outside_is_no_time_out():
    async def stream():
        with StreamClock(5, 5, 5):
            await asyncio.sleep(3)

    async def work():
        task = asyncio.create_task(stream())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(work())
