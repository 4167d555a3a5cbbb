"""One request on its way through the proxy, and what is said to its client."""

import secrets
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any

from evqa.serving.api_error import ApiError
from evqa.serving.deployment import Deployment
from evqa.serving.events import EventStream, error_event
from evqa.serving.intake import Receive, Scope, Send
from evqa.serving.keys import ApiKey
from evqa.serving.limits import BYTES_PER_TOKEN, KeyLimiter, Ticket
from evqa.serving.protocol import Request
from evqa.serving.usage import utc_now

if TYPE_CHECKING:
    from evqa.serving.connection import BoundedHttpProtocol
    from evqa.serving.tracing import Trace

CLIENT_CLOSED_REQUEST = 499
FAREWELL_S = 5.0
JSON = (b"content-type", b"application/json")


def new_request_id() -> str:
    """Return an id that no other request has."""
    return f"req_{secrets.token_hex(12)}"


@dataclass(slots=True, kw_only=True)
class Call:
    """One request on its way.

    Attributes:
        version: Of the model that answers; until one is chosen, of the champion.
        started: When its body was whole, seconds (monotonic).
        entered: When it had its place, seconds (monotonic); null before.
        status: Sent to the client, or what came of it afterwards.
        error: Code or type of what went wrong.
        answering: The answer's head has been sent.
        sending: A piece is on its way to the client, who may not be reading.
        over: The last piece has been sent.
        answer: Text of the answer; of a stream, once it is over.
    """

    scope: Scope
    receive: Receive
    send: Send
    version: str
    route: str = ""
    id: str = field(default_factory=new_request_id)
    time: str = field(default_factory=utc_now)
    started: float = field(default_factory=perf_counter)
    entered: float | None = None
    key: ApiKey | None = None
    ticket: Ticket | None = None
    request: Request | None = None
    deployment: Deployment | None = None
    status: int = 200
    error: str | None = None
    answering: bool = False
    sending: bool = False
    over: bool = False
    first_byte_s: float | None = None
    stream: EventStream | None = None
    usage: dict[str, Any] = field(default_factory=dict)
    answer: str | None = None
    num_payload_bytes: int = 0
    trace: "Trace | None" = None
    connection: "BoundedHttpProtocol | None" = None

    def __post_init__(self) -> None:
        self.connection = self.scope.get("evqa.connection")

    def is_answering(self) -> bool:
        """Whether the client has got a first byte."""
        return self.answering

    def is_over(self) -> bool:
        """Whether the client has got everything."""
        return self.over

    async def start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Send the head of the answer."""
        self.status = status
        self.answering = True
        labels = [(b"x-request-id", self.id.encode()), (b"x-model-version", self.version.encode())]
        if self.ticket is not None:
            labels += self.ticket.headers
        await self.send(
            {"type": "http.response.start", "status": status, "headers": headers + labels}
        )

    async def piece(self, data: bytes) -> None:
        """Send a piece of the body, with more to come."""
        connection = self.connection
        if connection is not None and connection.write_piece(data):
            return
        self.sending = True
        await self.send({"type": "http.response.body", "body": data, "more_body": True})
        self.sending = False

    async def finish(self, data: bytes = b"") -> None:
        """Send the last piece of the body."""
        self.over = self.sending = True
        await self.send({"type": "http.response.body", "body": data})
        self.sending = False

    async def reply(self, status: int, data: bytes, *extra: tuple[bytes, bytes]) -> None:
        """Send a whole JSON answer."""
        length = (b"content-length", str(len(data)).encode())
        await self.start(status, [JSON, length, *extra])
        await self.finish(data)

    async def fail(self, error: ApiError) -> None:
        """Tell the client of an error: as a status, or as the last event of a stream."""
        self.error = error.code or error.kind
        if self.answering:
            self.status = error.status
            await self.finish(error_event(error.body(self.id)))
        else:
            await self.reply(error.status, error.body(self.id), *error.headers())

    def trace_headers(self) -> dict[str, str]:
        """Return what lets the engine's log be laid beside ours."""
        headers = {"x-request-id": self.id}
        if self.trace is not None:
            headers["traceparent"] = self.trace.traceparent
        return headers

    def num_prompt_tokens(self) -> int | None:
        """Return the engine's count; null where it gave none."""
        return _count(self._final_usage().get("prompt_tokens"))

    def num_completion_tokens(self) -> int | None:
        """Return the engine's count, of a broken stream the number of its events."""
        if self.stream is not None and self.answering:
            return self.stream.num_tokens()
        return _count(self.usage.get("completion_tokens"))

    def num_tokens(self) -> int:
        """Return what the request has used: an estimate of its prompt where nothing was told."""
        prompt, completion = self.num_prompt_tokens(), self.num_completion_tokens()
        if prompt is None:
            prompt = self.num_payload_bytes // BYTES_PER_TOKEN if completion else 0
        return prompt + (completion or 0)

    def settle(self, limiter: KeyLimiter) -> None:
        """Give the ticket back."""
        if self.ticket is not None:
            limiter.settle(self.ticket, 0 if self.ticket.key.unlimited else self.num_tokens())

    def _final_usage(self) -> dict[str, Any]:
        return (self.stream.usage if self.stream is not None else self.usage) or {}

    def hang_up(self) -> None:
        """Close the connection without another word: its client does not read."""
        if self.connection is not None:
            self.connection.hang_up()


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) else None
