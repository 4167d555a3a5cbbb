"""The load for `serving.py`: raw connections that count events, and little else.

usage: python benchmarks/serving_load.py URL KEY plain CONCURRENCY SECONDS
       python benchmarks/serving_load.py URL KEY stream CONCURRENCY EVENTS INTERVAL_MS [LIMIT_S]

Prints one JSON object.
"""

import asyncio
import json
import resource
import statistics
import sys
import time
from typing import cast
from urllib.parse import urlsplit

import uvloop

QUESTION = [{"role": "user", "content": "How long does a 7.4 kW wallbox need for 50 kWh?"}]


def spell_request(host: str, key: str, fields: dict[str, object]) -> bytes:
    """Return a whole request."""
    body = json.dumps({"model": "evqa", "messages": QUESTION, **fields}).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Client(asyncio.Protocol):
    """One connection; `ask` sends a request and waits for its answer."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._done: asyncio.Future[bool] | None = None
        self._tail = b""
        self.num_events = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, _error: Exception | None) -> None:
        """An answer that is not over was cut."""
        self._end(ok=False)

    def data_received(self, data: bytes) -> None:
        """Count events, and look for the end."""
        self.num_events += data.count(b"data: {")
        tail = self._tail + data[-512:] if len(data) < 512 else data[-512:]
        self._tail = tail
        if self._stream:
            if b"[DONE]" in tail and tail.endswith(b"0\r\n\r\n"):
                self._end(ok=True)
            elif b" 200 OK" not in self._head(data):
                self._end(ok=False)
        else:
            self._whole += data
            head, found, body = self._whole.partition(b"\r\n\r\n")
            if found and self._is_whole(head, body):
                self._end(ok=head.startswith(b"HTTP/1.1 200"))

    def _head(self, data: bytes) -> bytes:
        if not self._first:
            self._first = data[:64]
        return self._first

    def _is_whole(self, head: bytes, body: bytes) -> bool:
        lowered = head.lower()
        if b"content-length:" in lowered:
            return len(body) >= int(lowered.split(b"content-length:")[1].split(b"\r\n")[0])
        return body.endswith(b"0\r\n\r\n")

    async def ask(self, request: bytes, *, stream: bool) -> bool:
        """Tell whether the answer was whole."""
        self._stream = stream
        self._tail = self._whole = self._first = b""
        self._done = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self._done

    def _end(self, *, ok: bool) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_result(ok)


async def connect(host: str, port: int) -> Client:
    """Open one connection."""
    _, client = await asyncio.get_running_loop().create_connection(Client, host, port)
    return client


async def plain(host: str, port: int, key: str, concurrency: int, seconds: float) -> dict:
    """Ask one request after the other on each connection."""
    request = spell_request(f"{host}:{port}", key, {"max_tokens": 50})
    clients = [await connect(host, port) for _ in range(concurrency)]
    latencies_s: list[float] = []
    num_failed = 0
    end = time.perf_counter() + seconds

    async def run(client: Client) -> None:
        """Ask without pause."""
        nonlocal num_failed
        while (started := time.perf_counter()) < end:
            if await client.ask(request, stream=False):
                latencies_s.append(time.perf_counter() - started)
            else:
                num_failed += 1
                return

    await asyncio.gather(*(run(client) for client in clients))
    return {
        "num_requests": len(latencies_s),
        "num_failed": num_failed,
        "p50_ms": statistics.median(latencies_s) * 1e3 if latencies_s else None,
    }


async def stream(
    host: str, port: int, key: str, concurrency: int, num_events: int, interval_ms: int,
    limit_s: float = 120.0,
) -> dict:  # fmt: skip
    """Ask for one stream on each connection."""
    fields = {"stream": True, "max_tokens": num_events, "seed": interval_ms}
    request = spell_request(f"{host}:{port}", key, fields)
    clients = [await connect(host, port) for _ in range(concurrency)]
    started = time.perf_counter()
    asks = [asyncio.create_task(client.ask(request, stream=True)) for client in clients]
    await asyncio.wait(asks, timeout=limit_s)
    return {
        "num_complete": sum(ask.done() and ask.result() for ask in asks),
        "num_streams": concurrency,
        "num_events": sum(client.num_events for client in clients),
        "seconds": time.perf_counter() - started,
        "ideal_seconds": num_events * interval_ms / 1e3,
    }


def main() -> None:
    """Run what the command line asks for."""
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (8192, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    )
    url, key, kind, *numbers = sys.argv[1:]
    parts = urlsplit(url)
    work = plain if kind == "plain" else stream
    values = [float(n) if "." in n else int(n) for n in numbers]
    result = uvloop.run(work(parts.hostname, parts.port, key, *values))
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
