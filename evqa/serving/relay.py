"""Relaying a request to the engine: raw ASGI in, one aiohttp session out.

No framework stands between: FastAPI's streaming costs twice, httpx's twenty times as much a
chunk. What can go wrong upstream has three shapes: before the answer has begun it is a status of
its own; in the middle of a stream it is an error event, and never a ``[DONE]``; a client that
leaves cancels the engine's work by closing the connection to it.
"""

import asyncio
import contextlib
import json
import logging
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp

from evqa.serving.auth import ApiKey, KeyRing
from evqa.serving.events import EventStream, error_event
from evqa.serving.intake import (
    ClientGoneError,
    Receive,
    Scope,
    Send,
    header,
    read_body,
    unless_gone,
)
from evqa.serving.metrics import ServerMetrics
from evqa.serving.protocol import ApiError, Limits, Request
from evqa.serving.upstream import UpstreamPool, engine_broke, engine_timed_out, error_of_status
from evqa.serving.usage import RequestLog, RequestRecord, hash_answer, hash_prompt, utc_now

if TYPE_CHECKING:
    from evqa.config.serving import TimeoutsConfig

CLIENT_CLOSED_REQUEST = 499
MAX_ERROR_BYTES = 1 << 16
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
        version: Told in every answer's ``x-model-version``.
        says_done: The engine ends its streams with ``[DONE]``.
        draining: Nothing new is admitted.
        in_flight: Requests being relayed.
    """

    keys: KeyRing
    pool: UpstreamPool
    limits: Limits
    timeouts: "TimeoutsConfig"
    metrics: ServerMetrics
    requests: RequestLog
    version: str
    max_body_bytes: int
    max_in_flight: int
    says_done: bool = True
    draining: bool = False
    in_flight: int = 0

    def authenticate(self, scope: Scope) -> ApiKey:
        """Return the key that a request brings.

        Raises:
            ApiError: 401.
        """
        key = self.keys.authenticate(header(scope, b"authorization"))
        if key is None:
            raise ApiError(
                401,
                "a good API key is needed: Authorization: Bearer evqa-…",
                "authentication_error",
                code="invalid_api_key",
            )
        return key

    @contextlib.contextmanager
    def slot(self) -> Iterator[None]:
        """Count a request as in flight while the block runs.

        Raises:
            ApiError: 503 when there are too many, or the server is stopping.
        """
        if self.draining:
            raise _busy("the server is stopping", "server_stopping")
        if self.in_flight >= self.max_in_flight:
            raise _busy("too many requests are in flight", "server_busy")
        self.in_flight += 1
        self.metrics.in_flight.set(self.in_flight)
        try:
            yield
        finally:
            self.in_flight -= 1
            self.metrics.in_flight.set(self.in_flight)


def _busy(message: str, code: str) -> ApiError:
    return ApiError(
        503, f"{message}; try again shortly", "server_error", code=code, retry_after_s=1
    )


@dataclass(slots=True, kw_only=True)
class Call:
    """One request on its way.

    Attributes:
        started: When its body was whole, seconds (monotonic).
        status: Sent to the client, or what came of it afterwards.
        answering: The answer's head has been sent.
        answer: Text of the answer; of a stream, once it is over.
    """

    send: Send
    version: str
    id: str = field(default_factory=lambda: f"req_{secrets.token_hex(12)}")
    started: float = field(default_factory=time.perf_counter)
    time: str = field(default_factory=utc_now)
    key: ApiKey | None = None
    request: Request | None = None
    status: int = 200
    answering: bool = False
    first_byte_s: float | None = None
    stream: EventStream | None = None
    usage: dict[str, Any] = field(default_factory=dict)
    answer: str | None = None

    async def start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Send the head of the answer."""
        self.status = status
        self.answering = True
        labels = [(b"x-request-id", self.id.encode()), (b"x-model-version", self.version.encode())]
        await self.send(
            {"type": "http.response.start", "status": status, "headers": headers + labels}
        )

    async def piece(self, data: bytes) -> None:
        """Send a piece of the body, with more to come."""
        await self.send({"type": "http.response.body", "body": data, "more_body": True})

    async def finish(self, data: bytes = b"") -> None:
        """Send the last piece of the body."""
        await self.send({"type": "http.response.body", "body": data})

    async def reply(self, status: int, data: bytes, *extra: tuple[bytes, bytes]) -> None:
        """Send a whole JSON answer."""
        length = (b"content-length", str(len(data)).encode())
        await self.start(status, [(b"content-type", b"application/json"), length, *extra])
        await self.finish(data)

    async def fail(self, error: ApiError) -> None:
        """Tell the client of an error: as a status, or as the last event of a stream."""
        if self.answering:
            self.status = error.status
            await self.finish(error_event(error.body(self.id)))
        else:
            await self.reply(error.status, error.body(self.id), *error.headers())


class RelayEndpoint:
    """``POST`` on one path, as a raw ASGI application.

    Args:
        proxy: What all endpoints share.
        route: The path that clients ask for.
        upstream_path: The engine's path.
        parse: Checks the body.
        present: Turns the engine's answer into this route's; null passes it as it is.
    """

    def __init__(
        self,
        proxy: Proxy,
        route: str,
        upstream_path: str,
        parse: Callable[[bytes, Limits], Request],
        present: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
    ) -> None:
        self._proxy = proxy
        self._route = route
        self._upstream_path = upstream_path
        self._parse = parse
        self._present = present

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever happens."""
        call = Call(send=send, version=self._proxy.version)
        try:
            await self._answer(call, scope, receive)
        except ApiError as error:
            await call.fail(error)
        except ClientGoneError:
            call.status = CLIENT_CLOSED_REQUEST
        except Exception:
            log.exception("request %s failed", call.id)
            call.status = 500
            await call.fail(ApiError(500, "an error in the server", "server_error"))
        finally:
            self._record(call)

    async def _answer(self, call: Call, scope: Scope, receive: Receive) -> None:
        proxy = self._proxy
        if scope["method"] != "POST":
            raise ApiError(405, f"{self._route}: only POST is allowed")
        call.key = proxy.authenticate(scope)
        data = await read_body(scope, receive, proxy.max_body_bytes, proxy.timeouts.body_s)
        call.started = time.perf_counter()
        request = self._parse(data, proxy.limits)
        payload = request.payload()
        with proxy.slot():
            call.request = request
            relay = self._stream if request.stream else self._fetch
            await unless_gone(relay(call, payload), receive)

    async def _fetch(self, call: Call, payload: bytes) -> None:
        """Relay an answer that comes in one piece."""
        proxy = self._proxy
        try:
            async with (
                asyncio.timeout(proxy.timeouts.total_s),
                proxy.pool.post(self._upstream_path, payload) as response,
            ):
                data = await response.read()
                status = response.status
        except TimeoutError:
            raise engine_timed_out(f"(more than {proxy.timeouts.total_s:g} s)") from None
        except aiohttp.ClientError:
            raise engine_broke("was cut off") from None
        if status != 200:
            raise error_of_status(status, data)
        answer = _parse_answer(data)
        call.usage = answer.get("usage") or {}
        call.answer = answer_text(answer)
        await call.reply(
            200, json.dumps(self._present(answer)).encode() if self._present else data
        )

    async def _stream(self, call: Call, payload: bytes) -> None:
        """Relay server-sent events, whole ones only, to the end that the engine announces."""
        assert call.request is not None
        call.stream = EventStream(
            keep_usage=call.request.include_usage, says_done=self._proxy.says_done
        )
        times = self._proxy.timeouts
        try:
            async with asyncio.timeout(min(times.first_byte_s, times.total_s)) as limit:
                await self._relay_events(call, call.stream, payload, limit)
        except TimeoutError:
            what = "between two events" if call.answering else "to begin its answer"
            raise engine_timed_out(what) from None
        except (aiohttp.ClientError, ValueError) as error:
            detail = str(error) if isinstance(error, ValueError) else "was cut off"
            raise engine_broke(detail) from None
        if not call.stream.complete:
            raise engine_broke("was cut off")
        await call.finish(call.stream.closing)

    async def _relay_events(
        self, call: Call, stream: EventStream, payload: bytes, limit: asyncio.Timeout
    ) -> None:
        times = self._proxy.timeouts
        now = asyncio.get_running_loop().time
        end = now() + times.total_s
        async with self._proxy.pool.post(self._upstream_path, payload) as response:
            if response.status != 200:
                raise error_of_status(
                    response.status, await response.content.read(MAX_ERROR_BYTES)
                )
            if response.content_type != "text/event-stream":
                raise engine_broke("is not an event stream")
            async for piece in response.content.iter_any():
                events = stream.feed(piece)
                if events:
                    if not call.answering:
                        call.first_byte_s = time.perf_counter() - call.started
                        await call.start(200, EVENT_STREAM_HEADERS)
                    await call.piece(events)
                limit.reschedule(min(now() + times.idle_s, end))

    def _record(self, call: Call) -> None:
        """Count the request and, when it reached the engine, write its record."""
        metrics = self._proxy.metrics
        metrics.count(self._route, call.status)
        if call.request is None or call.key is None:
            return
        latency_s = time.perf_counter() - call.started
        record = self._make_record(call, call.request, call.key, latency_s)
        metrics.observe(
            latency_s=latency_s,
            first_byte_s=call.first_byte_s,
            num_prompt_tokens=record.num_prompt_tokens,
            num_completion_tokens=record.num_completion_tokens,
        )
        try:
            self._proxy.requests.append(record)
        except OSError as error:
            log.error("request %s: its record was not written: %s", call.id, error)  # noqa: TRY400

    def _make_record(
        self, call: Call, request: Request, key: ApiKey, latency_s: float
    ) -> RequestRecord:
        num_completion_tokens = call.usage.get("completion_tokens")
        if call.stream is not None and call.stream.passed:
            call.usage = call.stream.usage or {}
            call.answer = call.stream.text()
            num_completion_tokens = call.stream.num_tokens()
        texts = self._proxy.requests.record_text
        return RequestRecord(
            id=call.id,
            time=call.time,
            key_id=key.id,
            version=call.version,
            model=self._proxy.limits.model_name,
            prompt_sha256=hash_prompt(request.prompt),
            answer_sha256=hash_answer(call.answer),
            num_prompt_tokens=call.usage.get("prompt_tokens"),
            num_completion_tokens=num_completion_tokens,
            ttft_ms=None if call.first_byte_s is None else round(call.first_byte_s * 1e3, 3),
            latency_ms=round(latency_s * 1e3, 3),
            status=call.status,
            prompt=request.prompt if texts else None,
            answer=call.answer if texts else None,
        )


def _parse_answer(data: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(data)
    except (ValueError, RecursionError):
        raise engine_broke("is not JSON") from None
    if not isinstance(answer, dict) or not answer.get("choices"):
        raise engine_broke("holds no choices")
    return answer


def answer_text(answer: dict[str, Any]) -> str:
    """Return the text of a completion or a chat completion, choice after choice."""
    texts = []
    for choice in answer.get("choices", []):
        message = choice.get("message") or {}
        texts.append(message.get("content") or choice.get("text") or "")
    return "".join(texts)
