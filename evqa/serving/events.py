"""Server-sent events from the engine: whole ones pass, half ones wait, the end must be said.

An event is taken apart only when it may hold token counts; the answer's text is read in blocks
of many events, away from the path between engine and client.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

DONE = b"data: [DONE]"
COMMON = b'data: {"id"'  # how all but the last of vLLM's events begin
NEXT = b"\ndata: "
# JSON has no raw line ends, so what follows one is an event of its own and no word of an answer
NEXT_DONE = b"\ndata: [DONE]"
ERROR = b'data: {"error"'
NEXT_ERROR = b'\ndata: {"error"'
SEPARATORS = (b"\n\n", b"\r\n\r\n")
MAX_PENDING_BYTES = 1 << 20
READ_EVERY_BYTES = 1 << 14
# a text as JSON spells it; within a text the quotes are escaped, so nothing there looks like it
TEXT = re.compile(rb'"(?:content|text)": ?"([^"\\]*(?:\\.[^"\\]*)*)"')


class EventStream:
    """Passes on whole events and remembers what the records need.

    Args:
        keep_usage: Pass on the event that holds only token counts.
        says_done: The engine ends a stream with ``[DONE]``; without it, a finish reason will do.
        one_choice: All events belong to one answer.

    Attributes:
        failed: The engine said that something went wrong; what follows is worth nothing.
        usage: The engine's counts, once it has told them.
    """

    __slots__ = (
        "_done", "_finished", "_keep_usage", "_num_pieces", "_one_choice", "_passed",
        "_passed_bytes", "_pending", "_says_done", "_texts", "failed", "usage",
    )  # fmt: skip

    def __init__(
        self, *, keep_usage: bool, says_done: bool = True, one_choice: bool = False
    ) -> None:
        self._one_choice = one_choice
        self._keep_usage = keep_usage
        self._says_done = says_done
        self._pending = b""
        self._done = False
        self._finished = False
        self._passed: list[bytes] = []
        self._passed_bytes = 0
        self._num_pieces = 0
        self._texts: dict[int, list[str]] = {}
        self.failed = False
        self.usage: dict[str, Any] | None = None

    def feed(self, piece: bytes) -> bytes:
        """Take a piece off the wire and return the whole events that can be passed on.

        Raises:
            ValueError: when an event does not end.
        """
        data = self._pending + piece if self._pending else piece
        if data.endswith(SEPARATORS):
            events = data
            self._pending = b""
        else:
            end = _last_end(data)
            events, self._pending = data[:end], data[end:]
            if len(self._pending) > MAX_PENDING_BYTES:
                raise ValueError("holds an event without end")
        if b'"usage":' in events:
            events = self._take_usage(events)
        if not events.startswith(COMMON) or NEXT in events:
            events = self._take_ending(events)
        if not self._says_done and b'"finish_reason":"' in events:
            self._finished = True
        if events:
            self._passed.append(events)
            self._passed_bytes += len(events)
            if self._passed_bytes > READ_EVERY_BYTES:
                self._read_passed()
        return events

    @property
    def complete(self) -> bool:
        """Whether the engine has said that the stream is at its end."""
        if self._pending.strip():
            return False
        return self._done or (self._finished and not self._says_done)

    @property
    def closing(self) -> bytes:
        """What is still owed to the client at the end of a complete stream."""
        return b"" if self._done else DONE + b"\n\n"

    def num_tokens(self) -> int:
        """Count the completion's tokens: as the engine reports them, else its events."""
        told = (self.usage or {}).get("completion_tokens")
        if isinstance(told, int):
            return told
        self._read_passed()
        return self._num_pieces

    def text(self) -> str:
        """Return the answer's text as far as it was passed on, choice after choice."""
        self._read_passed()
        return "".join("".join(self._texts[index]) for index in sorted(self._texts))

    def _read_passed(self) -> None:
        """Keep the text of the events, not the events: they are ten times as large."""
        if not self._one_choice or not self._read_plain(b"".join(self._passed)):
            self._read_choices()
        self._passed.clear()
        self._passed_bytes = 0

    def _read_plain(self, events: bytes) -> bool:
        """Read the texts of a single choice all at once; False where that cannot be done."""
        pieces = TEXT.findall(events)
        try:
            text = orjson.loads(b'"' + b"".join(pieces) + b'"')
        except ValueError:
            return False
        self._num_pieces += len(pieces) - pieces.count(b"")
        self._texts.setdefault(0, []).append(text)
        return True

    def _read_choices(self) -> None:
        for event in parse_events(self._passed):
            choices = event.get("choices")
            for choice in choices if isinstance(choices, list) else ():
                index, piece = _piece(choice)
                if piece:
                    self._num_pieces += 1
                    self._texts.setdefault(index, []).append(piece)

    def _take_ending(self, events: bytes) -> bytes:
        """Look for the end, and for the engine's error: return what comes before that."""
        if events.startswith(DONE) or NEXT_DONE in events:
            self._done = True
        if events.startswith(ERROR) or NEXT_ERROR in events:
            self.failed = True
            return b"" if events.startswith(ERROR) else events[: events.find(NEXT_ERROR) + 1]
        return events

    def _take_usage(self, events: bytes) -> bytes:
        kept = []
        for block in _blocks(events):
            event = _parse(block)
            usage = event.get("usage") if event else None
            if isinstance(usage, dict):
                self.usage = usage
                if not event.get("choices") and not self._keep_usage:
                    continue
            kept.append(block)
        return b"".join(kept)


def _piece(choice: Any) -> tuple[int, str]:
    """Return a choice's index and text; nothing for what makes no sense."""
    if not isinstance(choice, dict):
        return 0, ""
    delta = choice.get("delta")
    text = delta.get("content") if isinstance(delta, dict) else choice.get("text")
    index = choice.get("index", 0)
    if isinstance(text, str) and isinstance(index, int):
        return index, text
    return 0, ""


def parse_events(blocks: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects of whole events; comments and ``[DONE]`` are passed over."""
    for block in blocks:
        for event in _blocks(block):
            if parsed := _parse(event):
                yield parsed


def error_event(body: bytes) -> bytes:
    """Return the event that ends a broken stream."""
    return b"data: " + body + b"\n\n"


def _last_end(data: bytes) -> int:
    return max(
        (position + len(mark) for mark in SEPARATORS if (position := data.rfind(mark)) >= 0),
        default=0,
    )


def _blocks(events: bytes) -> list[bytes]:
    mark = b"\r\n\r\n" if b"\r\n\r\n" in events else b"\n\n"
    if events.count(mark) == 1 and events.endswith(mark):
        return [events]
    return [block + mark for block in events.split(mark) if block.strip()]


def _parse(block: bytes) -> dict[str, Any]:
    if block.startswith(b"data: {") and block.find(b"\n") >= len(block) - 2:
        data = block[6:]
    else:
        lines = [line[5:].strip() for line in block.splitlines() if line.startswith(b"data:")]
        data = b"\n".join(lines)
    try:
        event = orjson.loads(data)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}
