"""uvicorn's HTTP connection with the limits that it lacks: time, size and number of headers.

Without them a client that sends a byte a minute holds a connection for ever (slowloris), and one
that sends headers without end holds memory. See https://github.com/encode/uvicorn/issues/157.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from evqa.serving.api_error import ApiError
from evqa.serving.call import new_request_id

MAX_HEADERS = 64
MAX_HEADER_BYTES = 16 << 10


class RefusedHeadersError(Exception):
    """The headers are too many or too large."""


class BoundedHttpProtocol(HttpToolsProtocol):
    """A connection whose headers must arrive whole, small and in time.

    Attributes:
        header_s: Seconds for the headers; a subclass sets it from the config.
        current_version: Tells the version that answers.
    """

    header_s = 10.0
    current_version: Callable[[], str] = staticmethod(lambda: "")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deadline: asyncio.TimerHandle | None = None
        self._num_headers = 0
        self._header_bytes = 0
        self._unparsed_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock."""
        super().connection_made(transport)
        self._start_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came, unless the headers grow past their bounds."""
        cycle: Any = self.cycle  # None before the first request
        if self._deadline is None and (cycle is None or cycle.response_complete):
            self._start_clock()
        super().data_received(data)
        if self._deadline is not None:  # headers still incomplete, parsed or not
            self._unparsed_bytes += len(data)
            if self._unparsed_bytes > MAX_HEADER_BYTES and not self.transport.is_closing():
                self._num_headers = MAX_HEADERS + 1
                self.send_400_response("Invalid HTTP request received.")

    def on_message_begin(self) -> None:
        """Begin to count."""
        super().on_message_begin()
        self._num_headers = 0
        self._header_bytes = 0

    def on_url(self, url: bytes) -> None:
        """Count the address as a header."""
        self._count(len(url), headers=0)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count one header."""
        self._count(len(name) + len(value), headers=1)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Stop the clock and go on."""
        self._stop_clock()
        self.scope["evqa.connection"] = self  # type: ignore[typeddict-unknown-key]
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Say what is wrong and hang up; 431 where the headers are too large."""
        refused = self._num_headers > MAX_HEADERS or self._header_bytes > MAX_HEADER_BYTES
        status = "431 Request Header Fields Too Large" if refused else "400 Bad Request"
        error = ApiError(int(status[:3]), "headers are too many or too large" if refused else msg)
        request_id = new_request_id()
        body = error.body(request_id)
        head = (
            f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n"
            f"x-request-id: {request_id}\r\nx-model-version: {self.current_version()}\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()

    def write_piece(self, data: bytes) -> bool:
        """Write a piece of a body that is sent in chunks; False while the client does not read.

        False also once it has left: uvloop takes a write on a closed connection for a mistake.

        What `send` would do for it, without the message and the coroutine: they are a fifth of
        what an event costs.
        """
        if self.flow.write_paused or self.transport.is_closing():
            return False
        self.transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        return True

    def hang_up(self) -> None:
        """Close the connection without another word: its client does not read."""
        self.transport.abort()

    def _count(self, num_bytes: int, *, headers: int) -> None:
        self._header_bytes += num_bytes
        self._num_headers += headers
        if self._num_headers > MAX_HEADERS or self._header_bytes > MAX_HEADER_BYTES:
            raise RefusedHeadersError  # httptools turns it into a parser error

    def _start_clock(self) -> None:
        self._stop_clock()
        self._unparsed_bytes = 0
        self._deadline = self.loop.call_later(self.header_s, self._time_is_up)

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _time_is_up(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self.transport.close()


def bounded_protocol(
    header_s: float, current_version: Callable[[], str]
) -> type[BoundedHttpProtocol]:
    """Return a connection class with this time-out for headers, seconds."""
    fields = {"header_s": header_s, "current_version": staticmethod(current_version)}
    return type("BoundedHttpProtocol", (BoundedHttpProtocol,), fields)
