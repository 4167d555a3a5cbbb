import asyncio
import time

import pytest

from evqa.serving.clock import BEAT_S, HASTE_S, Beat, StreamClock


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


def test_haste_is_told_from_the_second_event_on():
    async def work():
        with StreamClock(1, 1, 1) as clock:
            told = [clock.tick(), clock.tick()]
            await asyncio.sleep(3 * HASTE_S)
            return [*told, clock.tick(), clock.tick()]

    assert asyncio.run(work()) == [False, True, False, True]


class FakeTransport:
    def __init__(self):
        self.closing = False
        self.told = []

    def is_closing(self):
        return self.closing

    def pause_reading(self):
        assert not self.closing
        self.told.append("pause")

    def resume_reading(self):
        assert not self.closing
        self.told.append("resume")


def test_a_beat_lets_all_go_on_together_but_those_that_have_left():
    async def work():
        beat = Beat()
        transports = [FakeTransport() for _ in range(4)]
        holds = [asyncio.create_task(beat.hold(transport)) for transport in transports]
        await asyncio.sleep(0)
        assert [t.told for t in transports] == [["pause"]] * 4
        holds[0].cancel()
        transports[1].closing = True
        started = time.monotonic()
        await asyncio.wait(holds)
        assert holds[0].cancelled()
        assert [t.told[1:] for t in transports] == [[], [], ["resume"], ["resume"]]
        assert 0 < time.monotonic() - started < BEAT_S + 1
        await beat.hold(transports[2])  # and again
        assert transports[2].told == ["pause", "resume"] * 2

    asyncio.run(work())


def test_what_is_lost_is_not_waited_for():
    lost = FakeTransport()
    lost.closing = True
    asyncio.run(Beat().hold(lost))
    asyncio.run(Beat().hold(None))
    assert lost.told == []
