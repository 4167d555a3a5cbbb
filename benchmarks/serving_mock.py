"""A mock engine for `serving.py`: as little CPU an event as Python allows.

One timer for all streams of an interval; events are spelled beforehand. The request says what it
gets: ``max_tokens`` events, one every ``seed`` milliseconds.

usage: python benchmarks/serving_mock.py PORT
"""

import asyncio
import json
import sys
from typing import Any, cast

import uvloop

EVENT = {
    "id": "chatcmpl-0123456789abcdef0123456789abcdef",
    "object": "chat.completion.chunk",
    "created": 1760000000,
    "model": "evqa",
    "choices": [
        {"index": 0, "delta": {"content": " charge"}, "logprobs": None, "finish_reason": None}
    ],
}
ANSWER = {
    "id": "chatcmpl-0123456789abcdef0123456789abcdef",
    "object": "chat.completion",
    "created": 1760000000,
    "model": "evqa",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "About seven hours. " * 10},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 20, "completion_tokens": 50, "total_tokens": 70},
}


def spell_event(payload: Any) -> bytes:
    """Return a server-sent event in a chunk of its own."""
    data = payload if isinstance(payload, str) else json.dumps(payload, separators=(",", ":"))
    event = f"data: {data}\n\n".encode()
    return b"%x\r\n%b\r\n" % (len(event), event)


def spell_answer(payload: Any, status: bytes = b"200 OK") -> bytes:
    """Return a whole JSON answer."""
    body = json.dumps(payload).encode()
    head = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % (status, len(body)) + body


STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
ONE = spell_event(EVENT)
LAST = {"choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "stop"}]}
USAGE = {"choices": [], "usage": ANSWER["usage"]}
PLAIN = spell_answer(ANSWER)
MODELS = spell_answer({"object": "list", "data": [{"id": "evqa", "object": "model"}]})


def ending(*, usage: bool) -> bytes:
    """Return what ends a stream."""
    events = [spell_event(EVENT | LAST)]
    if usage:
        events.append(spell_event(EVENT | USAGE))
    return b"".join([*events, spell_event("[DONE]"), b"0\r\n\r\n"])


class Ticker:
    """Writes one event to every stream of an interval at each of its ticks."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._streams: dict[Connection, int] = {}

    def add(self, connection: "Connection", num_events: int) -> None:
        """Begin a stream."""
        if not self._streams:
            asyncio.get_running_loop().call_later(self._interval_s, self._tick)
        self._streams[connection] = num_events

    def remove(self, connection: "Connection") -> None:
        """Forget a stream whose client has left."""
        self._streams.pop(connection, None)

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + self._interval_s
        for connection, left in list(self._streams.items()):
            if left:
                connection.transport.write(ONE)
                self._streams[connection] = left - 1
            else:
                connection.transport.write(connection.end)
                del self._streams[connection]
        if self._streams:
            loop.call_at(max(due, loop.time()), self._tick)


TICKERS: dict[float, Ticker] = {}


class Connection(asyncio.Protocol):
    """One client: requests one after the other."""

    transport: asyncio.Transport
    end = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport = cast("asyncio.Transport", transport)
        self._data = b""

    def connection_lost(self, _error: Exception | None) -> None:
        """End."""
        for ticker in TICKERS.values():
            ticker.remove(self)

    def data_received(self, data: bytes) -> None:
        """Answer when a request is whole."""
        self._data += data
        head, found, body = self._data.partition(b"\r\n\r\n")
        if not found:
            return
        if head.startswith(b"GET"):
            self._data = b""
            self.transport.write(MODELS)
            return
        lowered = head.lower()
        if b"transfer-encoding: chunked" in lowered:
            if not body.endswith(b"0\r\n\r\n"):
                return
            body = b"".join(body.split(b"\r\n")[1::2])
        elif len(body) < int(lowered.split(b"content-length:")[1].split(b"\r\n")[0]):
            return
        self._data = b""
        self._answer(json.loads(body))

    def _answer(self, request: dict[str, Any]) -> None:
        if not request.get("stream"):
            self.transport.write(PLAIN)
            return
        self.end = ending(usage=bool((request.get("stream_options") or {}).get("include_usage")))
        self.transport.write(STREAM_HEAD)
        interval_s = request["seed"] / 1000
        TICKERS.setdefault(interval_s, Ticker(interval_s)).add(self, request["max_tokens"])


async def serve(port: int) -> None:
    """Serve for ever."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
