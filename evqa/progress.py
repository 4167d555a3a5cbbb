"""Progress on stderr: a bar on a terminal, a line every ten per cent elsewhere.

A job that shows the progress of several stages listens instead (see `listening`).
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

Listener = Callable[[str, int, int | None, str], None]  # title, done, total, note
_listeners: list[Listener] = []


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Tell a listener of all progress while the block runs; nothing is shown here meanwhile."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


class Bar:
    """One thing that takes a while.

    Args:
        title: What is going on.
        total: Steps to the end; may be set later, by the first `at`.
    """

    def __init__(self, title: str, total: int | None = None) -> None:
        self._title = title
        self._bar = tqdm(
            total=total,
            desc=title,
            file=sys.stderr,
            dynamic_ncols=True,
            disable=bool(_listeners) or not sys.stderr.isatty(),
        )
        self._done = 0
        self._total = total
        self._said = -1

    def at(self, done: int, total: int, note: str = "") -> None:
        """Move to step ``done`` of ``total``."""
        self._total = self._bar.total = total
        self._bar.set_postfix_str(note, refresh=False)
        self.add(done - self._done, note)

    def add(self, count: int, note: str = "") -> None:
        """Move on by ``count`` steps."""
        self._done += count
        self._bar.update(count)
        for listener in _listeners:
            listener(self._title, self._done, self._total, note)
        if self._bar.disable and self._total and not _listeners:
            tenth = 10 * self._done // self._total
            if tenth > self._said:
                self._said = tenth
                sys.stderr.write(f"{self._title}: {10 * tenth} % {note}\n")

    def close(self) -> None:
        """Leave the bar as it is."""
        self._bar.close()


@contextmanager
def progress(title: str, total: int | None = None) -> Iterator[Bar]:
    """Show a bar while the block runs."""
    bar = Bar(title, total)
    try:
        yield bar
    finally:
        bar.close()
