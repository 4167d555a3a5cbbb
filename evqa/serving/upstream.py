"""The engines behind the proxy: which one gets a request, and how its failures are told."""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp

from evqa.serving.protocol import ApiError

HEALTH_INTERVAL_S = 1.0
HEALTH_TIMEOUT_S = 5.0
KEEP_ALIVE_S = 3.0  # below uvicorn's 5 s, so that no request rides on a connection being closed
RETRY_AFTER_S = 2
CONNECTION_ERRORS = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ServerDisconnectedError,
    aiohttp.ClientOSError,
)
log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Upstream:
    """One engine.

    Attributes:
        url: Its address without a slash at the end.
        outstanding: Requests it has not answered yet.
        healthy: It answered the last time it was asked.
    """

    url: str
    outstanding: int = 0
    healthy: bool = False


class UpstreamPool:
    """Engines that serve the same model; the one with the least outstanding requests is next.

    Args:
        urls: Addresses, ``http://host:port``.
        key: Sent as a bearer token; none when null.
        health_path: Answers 200 when an engine is up.
        connect_s: Longest wait for a connection, seconds.
    """

    def __init__(
        self, urls: list[str], key: str | None, *, health_path: str, connect_s: float
    ) -> None:
        self.upstreams = [Upstream(url.rstrip("/")) for url in urls]
        self._headers = {"content-type": "application/json"}
        if key:
            self._headers["authorization"] = f"Bearer {key}"
        self._health_path = health_path
        self._connect_s = connect_s
        self._session: aiohttp.ClientSession | None = None

    @contextlib.asynccontextmanager
    async def opened(self, *, max_connections: int) -> AsyncIterator["UpstreamPool"]:
        """Hold the connections and ask for each engine's health while the block runs."""
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=max_connections, keepalive_timeout=KEEP_ALIVE_S, ttl_dns_cache=10
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._connect_s),
        ) as self._session:
            watch = asyncio.create_task(self._watch_health())
            try:
                yield self
            finally:
                watch.cancel()
                await asyncio.gather(watch, return_exceptions=True)

    @property
    def ready(self) -> bool:
        """Whether any engine answers."""
        return any(upstream.healthy for upstream in self.upstreams)

    def pick(self, tried: set[Upstream]) -> Upstream:
        """Return the engine to ask: not tried yet, then healthy, then least outstanding."""
        return min(self.upstreams, key=lambda u: (u in tried, not u.healthy, u.outstanding))

    @contextlib.asynccontextmanager
    async def post(self, path: str, payload: bytes) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request and yield the answer once its headers are here.

        Another engine is asked when one cannot be reached, or hangs up before the first byte.

        Raises:
            ApiError: 503 when none can be reached.
        """
        tried: set[Upstream] = set()
        for _ in range(max(2, len(self.upstreams))):
            upstream = self.pick(tried)
            upstream.outstanding += 1
            try:
                response = await self._send(upstream, path, payload)
                if response is not None:
                    async with response:
                        yield response
                    return
            finally:
                upstream.outstanding -= 1
            tried.add(upstream)
        raise engine_unavailable()

    async def _send(
        self, upstream: Upstream, path: str, payload: bytes
    ) -> aiohttp.ClientResponse | None:
        assert self._session is not None
        try:
            return await self._session.post(
                f"{upstream.url}{path}", data=payload, allow_redirects=False
            )
        except CONNECTION_ERRORS as error:
            upstream.healthy = False
            log.warning("engine %s: %s", upstream.url, type(error).__name__)
            return None

    async def _watch_health(self) -> None:
        while True:
            started = time.monotonic()
            await asyncio.gather(*(self._check(upstream) for upstream in self.upstreams))
            await asyncio.sleep(max(0.0, HEALTH_INTERVAL_S - (time.monotonic() - started)))

    async def _check(self, upstream: Upstream) -> None:
        assert self._session is not None
        timeout = aiohttp.ClientTimeout(total=HEALTH_TIMEOUT_S)
        try:
            async with self._session.get(
                f"{upstream.url}{self._health_path}", timeout=timeout, allow_redirects=False
            ) as response:
                upstream.healthy = response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            upstream.healthy = False


def engine_unavailable() -> ApiError:
    """Return the error for an engine that cannot be reached."""
    return ApiError(
        503,
        "the engine cannot be reached; try again shortly",
        "server_error",
        code="engine_unavailable",
        retry_after_s=RETRY_AFTER_S,
    )


def engine_broke(detail: str) -> ApiError:
    """Return the error for an answer of the engine that is cut, or makes no sense."""
    return ApiError(502, f"the engine's answer {detail}", "server_error", code="engine_error")


def engine_timed_out(what: str) -> ApiError:
    """Return the error for an engine that hangs."""
    return ApiError(504, f"the engine took too long {what}", "server_error", code="engine_timeout")


def error_of_status(status: int, data: bytes) -> ApiError:
    """Translate an engine's error: the client's mistakes are told, everything else is hidden."""
    if status in (400, 422):
        return ApiError(400, _message(data) or "the engine refused the request")
    if status in (429, 503):
        return engine_unavailable()
    return engine_broke(f"was an error (status {status})")


def _message(data: bytes) -> str | None:
    try:
        body: Any = json.loads(data)
        error = body.get("error", body)
        message = error.get("message") if isinstance(error, dict) else None
    except (ValueError, AttributeError, RecursionError):
        return None
    return " ".join(str(message).split())[:500] if message else None
