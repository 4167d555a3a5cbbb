"""Time-outs of a stream at the price of a subtraction an event.

`asyncio.timeout` must cancel and set a timer at every event. Here an event notes the time, and one
timer looks now and then how long ago that was.
"""

import asyncio
from types import TracebackType
from typing import Self


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

    def tick(self) -> None:
        """Note that something has happened."""
        self._last = self._loop.time()
        self._begun = True

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
