"""Taking a request's body off the wire, and noticing that its client has left."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from typing import Any

from evqa.serving.api_error import ApiError
from evqa.serving.clock import StreamClock

MAX_DISCARDED_BYTES = 64 << 20

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class ClientGoneError(Exception):
    """The client closed its connection; there is nobody to answer."""


def header(scope: Scope, name: bytes) -> bytes | None:
    """Return the first header with this name (lower case)."""
    return next((value for key, value in scope["headers"] if key == name), None)


async def read_body(scope: Scope, receive: Receive, max_bytes: int, timeout_s: float) -> bytes:
    """Return the whole body.

    What is too large is read to its end and thrown away: a client that is still sending would
    see its connection reset instead of the answer.

    Raises:
        ApiError: 413 too large, 408 too slow.
        ClientGoneError: the client left.
    """
    _refuse_declared_length(scope, max_bytes)
    pieces: list[bytes] = []
    size = 0
    try:
        with StreamClock.of_total(timeout_s):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGoneError
                piece = message.get("body", b"")
                size += len(piece)
                if size <= max_bytes:
                    pieces.append(piece)
                if not message.get("more_body", False) or size > MAX_DISCARDED_BYTES:
                    break
    except TimeoutError:
        raise ApiError(408, f"the body did not arrive within {timeout_s:g} s") from None
    if size > max_bytes:
        raise _too_large(max_bytes)
    return b"".join(pieces)


def _refuse_declared_length(scope: Scope, max_bytes: int) -> None:
    """Answer at once where the client waits for leave to send, or is to send past all measure."""
    declared = header(scope, b"content-length")
    length = int(declared) if declared and declared.isdigit() else 0
    waits = (header(scope, b"expect") or b"").lower() == b"100-continue"
    if length > MAX_DISCARDED_BYTES or (waits and length > max_bytes):
        raise _too_large(max_bytes)


def _too_large(max_bytes: int) -> ApiError:
    return ApiError(413, f"the body is larger than {max_bytes} bytes")


async def unless_gone(
    work: Coroutine[Any, Any, None], receive: Receive, is_over: Callable[[], bool]
) -> None:
    """Do the work, and cancel it as soon as the client leaves.

    Args:
        work: Runs in the current task.
        receive: Tells of the client.
        is_over: The answer has been sent: that a client leaves then is no matter.

    Raises:
        ClientGoneError: the client left first.
    """
    task = asyncio.current_task()
    assert task is not None
    gone = ended = False

    def on_gone(watcher: "asyncio.Task[None]") -> None:
        """Stop the work where it is not over."""
        nonlocal gone
        if not watcher.cancelled() and not ended and not is_over():
            gone = True
            task.cancel()

    watcher = asyncio.create_task(_wait_until_gone(receive))
    watcher.add_done_callback(on_gone)
    try:
        await work
    except asyncio.CancelledError:
        if gone and task.uncancel() == 0:
            raise ClientGoneError from None
        raise
    finally:
        ended = True  # the callback may have been scheduled already
        watcher.cancel()


async def _wait_until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
