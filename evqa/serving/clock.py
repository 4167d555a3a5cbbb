"""Time-outs of a stream at the price of a subtraction an event, and a beat for hasty streams.

`asyncio.timeout` must cancel and set a timer at every event. Here an event notes the time, and one
timer looks now and then how long ago that was.
"""

import asyncio
from types import TracebackType
from typing import Self

BEAT_S = 0.008  # half a screen's refresh
HASTE_S = 0.010  # above the beat, so that a stream that was held once stays held


class StreamClock:
    """Cancels the task in its block, and raises TimeoutError, when nothing happens for too long.

    Args:
        first_s: Longest wait for the first event, seconds.
        idle_s: Longest wait between two events, seconds.
        total_s: Longest duration of all, seconds.

    Attributes:
        what: What took too long.
    """

    __slots__ = (
        "_begun", "_end", "_expired", "_first_s", "_idle_s", "_last", "_loop", "_task", "_timer",
        "what",
    )  # fmt: skip

    def __init__(self, first_s: float, idle_s: float, total_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._begun = False
        self._first_s = first_s
        self._idle_s = idle_s
        self._last = self._loop.time()
        self._end = self._last + total_s
        self._expired = False
        self._timer: asyncio.TimerHandle | None = None
        self._task = asyncio.current_task()
        self.what = "to begin its answer"

    @classmethod
    def of_total(cls, total_s: float) -> Self:
        """Return a clock that bounds the duration alone, seconds.

        As `asyncio.timeout`, at a third of its price.
        """
        return cls(total_s, total_s, total_s)

    def tick(self) -> bool:
        """Note that something has happened; tell whether it came in haste after the last."""
        now = self._loop.time()
        hasty = self._begun and now - self._last < HASTE_S
        self._last = now
        self._begun = True
        return hasty

    def __enter__(self) -> Self:
        self._look()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _where: TracebackType | None,
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        cancelled = kind is not None and issubclass(kind, asyncio.CancelledError)
        if self._expired and self._task is not None and self._task.uncancel() == 0 and cancelled:
            raise TimeoutError(self.what)

    def _look(self) -> None:
        now = self._loop.time()
        due = min(self._last + (self._idle_s if self._begun else self._first_s), self._end)
        if now < due:
            self._timer = self._loop.call_at(min(due, now + self._idle_s), self._look)
            return
        self._timer = None
        self._expired = True
        if now >= self._end:
            self.what = "to end its answer"
        elif self._begun:
            self.what = "between two events"
        if self._task is not None:
            self._task.cancel()


class Beat:
    """Holds streams whose events come faster than anybody reads, so that several go out together.

    Half of what an event costs is the kernel's, for a write of its own; in a crowd that is what
    the others wait for. One timer serves all the streams; an event is held `BEAT_S` at most, and
    never the first of an answer.
    """

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[None]] = []

    async def hold(self, transport: asyncio.ReadTransport | None) -> None:
        """Read no more from a transport until the next beat; return at once where it is lost."""
        if transport is None or transport.is_closing():
            return
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_later(BEAT_S, self._strike)
        future = loop.create_future()
        self._waiting.append(future)
        transport.pause_reading()
        await future
        if not transport.is_closing():
            transport.resume_reading()

    def _strike(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():  # its stream may have been broken off meanwhile
                future.set_result(None)
