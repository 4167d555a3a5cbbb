"""The engines behind the proxy: which one gets a request, and how its failures are told."""

import asyncio
import contextlib
import itertools
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
from yarl import URL

from evqa.serving.api_error import ApiError

if TYPE_CHECKING:
    from evqa.config.serving import TimeoutsConfig

HEALTH_TIMEOUT_S = 5.0
KEEP_ALIVE_S = 3.0  # below uvicorn's 5 s, so that no request rides on a connection being closed
RETRY_AFTER_S = 2
MAX_ATTEMPTS = 3
NUM_SPARE = 64  # connections for asking after health when all others are in use
MAX_ERROR_BYTES = 1 << 16
NOT_REACHED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
HUNG_UP = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)
log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def open_session(max_connections: int, times: "TimeoutsConfig") -> AsyncIterator[Any]:
    """Yield the one session of a server: its connections to all engines."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=max_connections + NUM_SPARE, keepalive_timeout=KEEP_ALIVE_S, ttl_dns_cache=10
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        skip_auto_headers=("accept", "accept-encoding", "user-agent"),
        headers={"content-type": "application/json"},
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=times.connect_s),
    ) as session:
        yield session


@dataclass(slots=True, eq=False)
class Upstream:
    """One engine.

    Attributes:
        url: Its address without a slash at the end.
        headers: Sent with every request.
        paths: Addresses of its paths, parsed.
        outstanding: Requests it has not answered yet.
        healthy: It answered the last time it was asked.
    """

    url: str
    headers: dict[str, str] = field(default_factory=dict)
    paths: dict[str, URL] = field(default_factory=dict)
    outstanding: int = 0
    healthy: bool = False


class UpstreamLostError(Exception):
    """The engine cannot be reached, or hung up before it answered; another may be asked.

    Args:
        message: What happened.
        reached: It had the request: should that be what kills engines, it must not kill them all.
    """

    def __init__(self, message: str, *, reached: bool) -> None:
        super().__init__(message)
        self.reached = reached


class UpstreamPool:
    """Engines that serve the same version; the one with the least outstanding requests is next.

    Args:
        urls: Addresses, ``http://host:port``.
        key: Sent as a bearer token; none when null.
        health_path: Answers 200 when an engine is up.

    Attributes:
        retry_after_s: What a client is told to wait while no engine is there.
    """

    def __init__(self, urls: list[str], key: str | None, *, health_path: str) -> None:
        self._health_path = health_path
        self._turn = itertools.count()
        self.retry_after_s: float = RETRY_AFTER_S
        self.upstreams: list[Upstream] = []
        self.replace(urls, key)

    def replace(self, urls: list[str], key: str | None, *, healthy: bool = False) -> None:
        """Put other engines in the place of those so far."""
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self.upstreams = [Upstream(url.rstrip("/"), headers, healthy=healthy) for url in urls]

    @property
    def ready(self) -> bool:
        """Whether any engine answers."""
        return any(upstream.healthy for upstream in self.upstreams)

    def pick(self, tried: set[Upstream]) -> Upstream:
        """Return the engine to ask: not tried yet, then healthy, then least outstanding.

        Where that leaves several, they take turns.

        Raises:
            ApiError: 503 when there is none.
        """
        if not self.upstreams:
            raise self.unavailable()
        if len(self.upstreams) == 1:
            return self.upstreams[0]
        turn = next(self._turn) % len(self.upstreams)
        order = [*self.upstreams[turn:], *self.upstreams[:turn]]
        return min(order, key=lambda u: (u in tried, not u.healthy, u.outstanding))

    async def ask(
        self, attempt: Callable[[Upstream], Awaitable[None]], begun: Callable[[], bool]
    ) -> None:
        """Make an attempt at one engine, and at others while it fails before the first byte.

        Args:
            attempt: Relays the answer of one engine.
            begun: Tells whether the client has got a first byte; then nothing is tried again.

        Raises:
            ApiError: what the last attempt ended with; 503 when no engine can be reached.
        """
        tried: set[Upstream] = set()
        for number in itertools.count(1):
            upstream = self.pick(tried)
            upstream.outstanding += 1
            try:
                await attempt(upstream)
            except UpstreamLostError as error:
                upstream.healthy = False
                log.warning("engine %s: %s", upstream.url, error)
                failure = self.unavailable()
                again = number < (2 if error.reached else max(2, len(self.upstreams)))
            except ApiError as error:
                failure = error
                left = any(u.healthy and u not in tried | {upstream} for u in self.upstreams)
                again = error.status in (502, 503) and left and number < MAX_ATTEMPTS
            else:
                return
            finally:
                upstream.outstanding -= 1
            if begun() or not again:
                raise failure
            tried.add(upstream)

    def unavailable(self) -> ApiError:
        """Return the error for engines that cannot be reached."""
        return ApiError(
            503,
            "the engine cannot be reached; try again shortly",
            "server_error",
            code="engine_unavailable",
            retry_after_s=self.retry_after_s,
        )

    async def check_health(self, session: aiohttp.ClientSession) -> None:
        """Ask every engine for its health."""
        await asyncio.gather(*(self._check(session, upstream) for upstream in self.upstreams))

    async def _check(self, session: aiohttp.ClientSession, upstream: Upstream) -> None:
        try:
            async with session.get(
                f"{upstream.url}{self._health_path}",
                headers=upstream.headers,
                timeout=aiohttp.ClientTimeout(total=HEALTH_TIMEOUT_S),
                allow_redirects=False,
            ) as response:
                upstream.healthy = response.status == 200
        except (aiohttp.ClientError, OSError, ValueError):
            upstream.healthy = False


@contextlib.asynccontextmanager
async def post(
    session: aiohttp.ClientSession,
    upstream: Upstream,
    path: str,
    payload: bytes,
    headers: dict[str, str],
) -> AsyncIterator[aiohttp.ClientResponse]:
    """Send a request and yield the answer once its headers are here.

    Raises:
        UpstreamLostError: before that.
        ApiError: the status is not 200.
    """
    try:
        url = upstream.paths.get(path)
        if url is None:
            url = upstream.paths[path] = URL(f"{upstream.url}{path}")
        response = await session.post(
            url,
            data=payload,
            headers={**upstream.headers, **headers},
            allow_redirects=False,
        )
    except NOT_REACHED as error:
        raise UpstreamLostError(type(error).__name__, reached=False) from None
    except HUNG_UP as error:
        raise UpstreamLostError(type(error).__name__, reached=True) from None
    except (aiohttp.ClientError, ValueError) as error:  # not HTTP, or headers past all measure
        raise engine_broke(f"is no answer ({type(error).__name__})") from None
    async with response:
        if response.status != 200:
            raise error_of_status(
                response.status, await response.content.read(MAX_ERROR_BYTES), response.headers
            )
        yield response


def engine_broke(detail: str) -> ApiError:
    """Return the error for an answer of the engine that is cut, or makes no sense."""
    return ApiError(502, f"the engine's answer {detail}", "server_error", code="engine_error")


def engine_timed_out(what: str) -> ApiError:
    """Return the error for an engine that hangs."""
    return ApiError(504, f"the engine took too long {what}", "server_error", code="engine_timeout")


def error_of_status(status: int, data: bytes, headers: Any = None) -> ApiError:
    """Translate an engine's error: the client's mistakes are told, everything else is hidden."""
    if status in (400, 422):
        message = _message(data) or "the engine refused the request"
        too_long = "context length" in message or "maximum model length" in message
        return ApiError(400, message, code="context_length_exceeded" if too_long else None)
    if status in (429, 503):
        asked = (headers or {}).get("retry-after", "")
        retry_after_s = min(int(asked), 600) if asked.isascii() and asked.isdigit() else 2
        return ApiError(
            503,
            "the engine is busy; try again shortly",
            "server_error",
            code="engine_unavailable",
            retry_after_s=retry_after_s,
        )
    return engine_broke(f"was an error (status {status})")


def _message(data: bytes) -> str | None:
    try:
        body: Any = json.loads(data)
        error = body.get("error", body)
        message = error.get("message") if isinstance(error, dict) else None
    except (ValueError, AttributeError, RecursionError):
        return None
    return " ".join(str(message).split())[:500] if message else None
