"""Relaying a request to the engine: raw ASGI in, one aiohttp session out.

No framework stands between: FastAPI's streaming costs twice, httpx's twenty times as much a
chunk. What can go wrong upstream has three shapes: before the answer has begun it is a status of
its own; in the middle of a stream it is an error event, and never a ``[DONE]``; a client that
leaves cancels the engine's work by closing the connection to it.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson

from evqa.serving.accounts import Accounts
from evqa.serving.api_error import ApiError
from evqa.serving.auth import KeyRing
from evqa.serving.call import CLIENT_CLOSED_REQUEST, FAREWELL_S, Call
from evqa.serving.clock import Beat, StreamClock
from evqa.serving.events import EventStream
from evqa.serving.fleet import Fleet
from evqa.serving.gate import STOPPING, Gate, busy
from evqa.serving.intake import (
    ClientGoneError,
    Receive,
    Scope,
    Send,
    header,
    read_body,
    unless_gone,
)
from evqa.serving.keys import ApiKey
from evqa.serving.limits import KeyLimiter
from evqa.serving.protocol import Limits, Request
from evqa.serving.tracing import parse_traceparent
from evqa.serving.upstream import Upstream, engine_broke, engine_timed_out, post

if TYPE_CHECKING:
    from evqa.config.serving import TimeoutsConfig

MAX_ANSWER_BYTES = 64 << 20
CROWD = 16  # streams at once, from which on the hasty ones among them are held
EVENT_STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]
log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Proxy:
    """What the endpoints of one server share.

    Attributes:
        session: Connections to the engines; there while the server runs.
    """

    keys: KeyRing
    limiter: KeyLimiter
    gate: Gate
    fleet: Fleet
    accounts: Accounts
    model_name: str
    timeouts: "TimeoutsConfig"
    max_body_bytes: int
    max_connections: int
    session: aiohttp.ClientSession | None = None
    beat: Beat = field(default_factory=Beat)

    def authenticate(self, scope: Scope, route: str) -> ApiKey:
        """Return the key that a request brings.

        Raises:
            ApiError: 401 without a good key, 403 where its scope ends.
        """
        key = self.keys.authenticate(header(scope, b"authorization"))
        if key is None:
            raise ApiError(
                401,
                "a good API key is needed: Authorization: Bearer evqa-…",
                "authentication_error",
                code="invalid_api_key",
            )
        if not key.may_use(route):
            raise ApiError(
                403, f"this key may not use {route}", "permission_error", code="route_not_allowed"
            )
        return key


class RelayEndpoint:
    """``POST`` on one path, as a raw ASGI application.

    Args:
        proxy: What all endpoints share.
        route: The path that clients ask for.
        upstream_path: The engine's path.
        parse: Checks the body.
        present: Turns the engine's answer into this route's; null passes it as it is.
    """

    _times: "TimeoutsConfig"

    def __init__(
        self,
        proxy: Proxy,
        route: str,
        upstream_path: str,
        parse: Callable[[bytes, Limits], Request],
        present: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
    ) -> None:
        self._proxy = proxy
        self._times = proxy.timeouts
        self._route = route
        self._upstream_path = upstream_path
        self._parse = parse
        self._present = present

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever happens."""
        version = self._proxy.fleet.primary.version
        call = Call(scope=scope, receive=receive, send=send, version=version, route=self._route)
        try:
            await self._answer(call)
        except ApiError as error:
            await _say(call, error)
        except ClientGoneError:
            call.status, call.error = CLIENT_CLOSED_REQUEST, "client_gone"
            call.hang_up()
        except asyncio.CancelledError:  # the time for what was in flight is over
            await _say(call, busy("the server stopped before the answer was over", STOPPING))
            raise
        except Exception:
            log.exception("request %s failed", call.id)
            await _say(call, ApiError(500, "an error in the server", "server_error"))
        finally:
            self._proxy.accounts.close(call)

    async def _answer(self, call: Call) -> None:
        proxy = self._proxy
        if call.scope["method"] != "POST":
            raise ApiError(405, f"{self._route}: only POST is allowed")
        proxy.gate.check()
        call.key = key = proxy.authenticate(call.scope, self._route)
        data = await read_body(call.scope, call.receive, proxy.max_body_bytes, self._times.body_s)
        call.started = time.perf_counter()
        if proxy.accounts.tracer is not None:
            call.trace = parse_traceparent(header(call.scope, b"traceparent"))
        request = self._parse(data, proxy.fleet.primary.limits)
        if not key.may_ask(request.model):
            raise ApiError(
                403,
                f"this key may not ask {request.model!r}",
                "permission_error",
                code="model_not_allowed",
                param="model",
            )
        proxy.fleet.primary.limits.check_context(request)
        payload = request.payload()
        call.num_payload_bytes = len(payload)
        call.ticket = proxy.limiter.admit(key, len(payload), request.max_tokens)
        try:
            await unless_gone(self._relay(call, request, payload), call.receive, call.is_over)
        finally:
            call.settle(proxy.limiter)

    async def _relay(self, call: Call, request: Request, payload: bytes) -> None:
        proxy = self._proxy
        await proxy.gate.enter()
        try:
            call.entered = time.perf_counter()
            call.request = request
            call.deployment = deployment = proxy.fleet.choose(call.key.id if call.key else "")
            call.version = deployment.version
            deployment.enter()
            try:
                if request.stream:
                    await self._stream(call, payload)
                else:
                    await self._fetch(call, payload)
            finally:
                deployment.leave()
        finally:
            proxy.gate.leave()

    async def _fetch(self, call: Call, payload: bytes) -> None:
        """Relay an answer that comes in one piece."""
        deployment = call.deployment
        assert deployment is not None
        data = b""

        async def attempt(upstream: Upstream) -> None:
            """Read one engine's answer."""
            nonlocal data
            data = await self._read_answer(upstream, payload, call)

        try:
            with StreamClock.of_total(self._times.total_s):
                await deployment.pool.ask(attempt, call.is_answering)
        except TimeoutError:
            raise engine_timed_out(f"(more than {self._times.total_s:g} s)") from None
        answer = _parse_answer(data)
        usage = answer.get("usage")
        call.usage = usage if isinstance(usage, dict) else {}
        call.answer = answer_text(answer)
        if self._present is not None:
            data = orjson.dumps(self._present(answer))
        await call.reply(200, data)

    async def _read_answer(self, upstream: Upstream, payload: bytes, call: Call) -> bytes:
        session = self._proxy.session
        assert session is not None
        async with post(
            session, upstream, self._upstream_path, payload, call.trace_headers()
        ) as response:
            try:
                return await _read_all(response.content)
            except aiohttp.ClientError:
                raise engine_broke("was cut off") from None

    async def _stream(self, call: Call, payload: bytes) -> None:
        """Relay server-sent events, whole ones only, to the end that the engine announces."""
        deployment, request = call.deployment, call.request
        assert deployment is not None
        assert request is not None
        clock = StreamClock(self._times.first_byte_s, self._times.idle_s, self._times.total_s)

        async def attempt(upstream: Upstream) -> None:
            """Relay one engine's events, from the beginning."""
            call.stream = EventStream(
                keep_usage=request.include_usage,
                says_done=deployment.says_done,
                one_choice=request.num_choices == 1,
            )
            await self._relay_events(call, call.stream, upstream, payload, clock)

        try:
            with clock:
                await deployment.pool.ask(attempt, call.is_answering)
                assert call.stream is not None
                await call.finish(call.stream.closing)
        except TimeoutError:
            if call.sending:
                raise ClientGoneError from None  # it does not read
            raise engine_timed_out(clock.what) from None

    async def _relay_events(
        self,
        call: Call,
        stream: EventStream,
        upstream: Upstream,
        payload: bytes,
        clock: StreamClock,
    ) -> None:
        session = self._proxy.session
        assert session is not None
        async with post(
            session, upstream, self._upstream_path, payload, call.trace_headers()
        ) as response:
            if response.content_type != "text/event-stream":
                raise engine_broke("is not an event stream")
            content = response.content
            try:
                while piece := await content.readany():
                    hasty = clock.tick()
                    if events := stream.feed(piece):
                        if not call.answering:
                            call.first_byte_s = time.perf_counter() - call.started
                            await call.start(200, EVENT_STREAM_HEADERS)
                        await call.piece(events)
                    if stream.failed:
                        raise engine_broke("ended with an error")
                    if hasty and self._proxy.gate.in_flight >= CROWD:
                        await self._hold(response)
            except (aiohttp.ClientError, ValueError) as error:
                detail = str(error) if isinstance(error, ValueError) else "was cut off"
                raise engine_broke(detail) from None
            if not stream.complete:
                raise engine_broke("was cut off")

    async def _hold(self, response: aiohttp.ClientResponse) -> None:
        # without a connection the answer is whole, and another request may have it by now
        if response.connection is not None:
            await self._proxy.beat.hold(response.connection.transport)


async def _say(call: Call, error: ApiError) -> None:
    """Tell the client of an error, unless it does not read."""
    try:
        async with asyncio.timeout(FAREWELL_S):
            await call.fail(error)
    except TimeoutError:
        call.hang_up()


async def _read_all(content: aiohttp.StreamReader) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while piece := await content.readany():
        size += len(piece)
        if size > MAX_ANSWER_BYTES:
            raise engine_broke("is too large")
        pieces.append(piece)
    return b"".join(pieces)


def _parse_answer(data: bytes) -> dict[str, Any]:
    try:
        answer = orjson.loads(data)
    except ValueError:
        raise engine_broke("is not JSON") from None
    if not isinstance(answer, dict) or not _are_choices(answer.get("choices")):
        raise engine_broke("holds no choices")
    return answer


def _are_choices(choices: Any) -> bool:
    return (
        isinstance(choices, list)
        and bool(choices)
        and all(
            isinstance(choice, dict)
            and (isinstance(choice.get("message"), dict) or "text" in choice)
            for choice in choices
        )
    )


def answer_text(answer: dict[str, Any]) -> str:
    """Return the text of a completion or a chat completion, choice after choice."""
    texts = []
    for choice in answer.get("choices", []):
        message = choice.get("message") or {}
        text = message.get("content") or choice.get("text")
        texts.append(text if isinstance(text, str) else "")
    return "".join(texts)
