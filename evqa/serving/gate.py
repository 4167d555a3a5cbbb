"""The gate: a bounded number of requests is relayed, a bounded number waits, the rest is told.

Back-pressure ends here: what waits has been read and checked, costs a few KiB, and goes in the
order it came. While the gate is paused (a version is being exchanged) everybody waits.
"""

import asyncio
from collections import deque

from evqa.serving.api_error import ApiError
from evqa.serving.in_flight import InFlight

RETRY_AFTER_S = 1
STOPPING = "server_stopping"


class Gate(InFlight):
    """Bounds the requests in flight.

    Args:
        max_in_flight: Requests relayed at once.
        max_queue: Requests that wait.
        queue_s: Longest wait, seconds.

    Attributes:
        draining: Nothing new is admitted; what waits still is.
    """

    def __init__(self, max_in_flight: int, max_queue: int, queue_s: float) -> None:
        super().__init__()
        self._max_in_flight = max_in_flight
        self._max_queue = max_queue
        self._queue_s = queue_s
        self._paused = False
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.draining = False

    @property
    def num_waiting(self) -> int:
        """How many requests wait."""
        return len(self._waiting)

    def check(self) -> None:
        """Refuse what is new while the server stops.

        Raises:
            ApiError: 503.
        """
        if self.draining:
            raise busy("the server is stopping", STOPPING)

    async def enter(self) -> None:
        """Take a place, or wait for one.

        Raises:
            ApiError: 503 when the queue is full, or does not move in time.
        """
        if not self._paused and self.in_flight < self._max_in_flight:
            self.in_flight += 1
            return
        if len(self._waiting) >= self._max_queue:
            raise busy("too many requests are in flight", "server_busy")
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            async with asyncio.timeout(self._queue_s):
                await place
        except BaseException as error:
            self._give_up(place)
            if isinstance(error, TimeoutError):
                raise busy("the server is full", "server_busy") from None
            raise

    def pause(self) -> None:
        """Let everybody wait."""
        self._paused = True

    def resume(self) -> None:
        """Let in who waits."""
        self._paused = False
        self._admit()

    def _admit(self) -> None:
        while self._waiting and not self._paused and self.in_flight < self._max_in_flight:
            place = self._waiting.popleft()
            if not place.done():
                self.in_flight += 1
                place.set_result(None)

    def _give_up(self, place: "asyncio.Future[None]") -> None:
        if place.done() and not place.cancelled():
            self.leave()  # it had its place already
        elif place in self._waiting:
            self._waiting.remove(place)


def busy(message: str, code: str) -> ApiError:
    """Return the error for a server that is full or stopping."""
    return ApiError(
        503,
        f"{message}; try again shortly",
        "server_error",
        code=code,
        retry_after_s=RETRY_AFTER_S,
    )
