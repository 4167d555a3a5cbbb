"""Server-sent events from the engine: whole ones pass, half ones wait, the end must be said.

The parser is lazy: an event is only taken apart when it may hold token counts, and the answer's
text is read from the events after the stream has ended.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

DONE = b"data: [DONE]"
SEPARATORS = (b"\n\n", b"\r\n\r\n")
MAX_PENDING_BYTES = 1 << 20


class EventStream:
    """Passes on whole events and remembers what the records need.

    Args:
        keep_usage: Pass on the event that holds only token counts.
        says_done: The engine ends a stream with ``[DONE]``; without it, a finish reason will do.
    """

    def __init__(self, *, keep_usage: bool, says_done: bool = True) -> None:
        self._keep_usage = keep_usage
        self._says_done = says_done
        self._pending = b""
        self._done = False
        self._finished = False
        self.usage: dict[str, Any] | None = None
        self.passed: list[bytes] = []

    def feed(self, piece: bytes) -> bytes:
        """Take a piece off the wire and return the whole events that can be passed on.

        Raises:
            ValueError: when an event does not end.
        """
        data = self._pending + piece if self._pending else piece
        end = len(data) if data.endswith(SEPARATORS) else _last_end(data)
        self._pending = data[end:]
        if len(self._pending) > MAX_PENDING_BYTES:
            raise ValueError("holds an event without end")
        events = data[:end]
        if b'"usage":' in events:
            events = self._take_usage(events)
        if DONE in events:
            self._done = True
        if b'"finish_reason":"' in events:
            self._finished = True
        if events:
            self.passed.append(events)
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
        if self.usage:
            return int(self.usage.get("completion_tokens", 0))
        return sum(1 for event in parse_events(self.passed) if _delta(event))

    def text(self) -> str:
        """Return the answer's text as far as it was passed on, choice after choice."""
        texts: dict[int, list[str]] = {}
        for event in parse_events(self.passed):
            for choice in event.get("choices", []):
                piece = choice.get("delta", {}).get("content") or choice.get("text") or ""
                texts.setdefault(choice.get("index", 0), []).append(piece)
        return "".join("".join(texts[index]) for index in sorted(texts))

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
    return [block + mark for block in events.split(mark) if block.strip()]


def _parse(block: bytes) -> dict[str, Any]:
    lines = [line[5:].strip() for line in block.splitlines() if line.startswith(b"data:")]
    try:
        event = json.loads(b"\n".join(lines))
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}


def _delta(event: dict[str, Any]) -> bool:
    choices = event.get("choices") or [{}]
    return bool(choices[0].get("delta", {}).get("content") or choices[0].get("text"))
