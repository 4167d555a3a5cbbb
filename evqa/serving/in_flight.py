"""How many requests are being answered, and when there are none."""

import asyncio
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False, kw_only=True)
class InFlight:
    """Counts requests in and out.

    Attributes:
        in_flight: Requests that have entered and not left.
    """

    in_flight: int = 0
    _idle: asyncio.Event | None = field(default=None, init=False)

    def leave(self) -> None:
        """Count a request out."""
        self.in_flight -= 1
        self._admit()
        if self._idle is not None and not self.in_flight:
            self._idle.set()

    def _admit(self) -> None:
        """Let in who waits for the place that became free; here nobody waits."""

    async def wait_idle(self, timeout_s: float) -> bool:
        """Wait until nothing is in flight; tell whether that came about in time."""
        if not self.in_flight:
            return True
        self._idle = asyncio.Event()
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True
