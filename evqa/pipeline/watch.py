"""What a pipeline shows and writes down: a live table, a log, events, a summary."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table

from evqa.config.jobs import Stage
from evqa.evaluation.performance import MemoryWatch
from evqa.files import write_json
from evqa.progress import listening
from evqa.provenance import now

LOG = "pipeline.log"
EVENTS = "events.jsonl"
SUMMARY = "summary.json"
MARKS = {"waiting": "·", "running": "▶", "cached": "=", "done": "✓", "failed": "✗"}


@dataclass(slots=True)
class Row:
    """One line of the table."""

    stage: Stage
    state: str = "waiting"
    seconds: float | None = None
    peak_rss_gib: float | None = None
    figure: str = ""


class Watch:
    """Follows the stages of one pipeline.

    Args:
        folder: Where log, events and summary go.
        stages: In their order.
    """

    def __init__(self, folder: Path, stages: list[Stage]) -> None:
        self.folder = folder
        self.rows = {stage: Row(stage) for stage in stages}
        self._console = Console(stderr=True)
        self._live: Live | None = None

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the table while the block runs: live on a terminal, line by line elsewhere."""
        if not sys.stderr.isatty():
            yield
            return
        with Live(self.table(), console=self._console, redirect_stdout=False) as live:
            self._live = live
            try:
                yield
            finally:
                live.update(self.table())
                self._live = None

    @contextmanager
    def running(self, stage: Stage) -> Iterator[Row]:
        """Follow one stage; what it prints goes to the log."""
        row = self.rows[stage]
        row.state = "running"
        self.event("stage_started", stage=stage)
        started, memory = time.perf_counter(), MemoryWatch()
        memory.start()
        try:
            with (
                (self.folder / LOG).open("a", encoding="utf-8") as log,
                redirect_stdout(log),
                listening(self._progress(row)),
            ):
                yield row
        except BaseException as error:
            row.state = "failed"
            row.figure = " ".join(str(error).split()) or type(error).__name__
            raise
        finally:
            memory.stop()
            row.seconds = round(time.perf_counter() - started, 3)
            row.peak_rss_gib = round(memory.peak_rss_bytes / 2**30, 3)
            self._told(row)

    def _progress(self, row: Row) -> Any:
        def listen(title: str, done: int, total: int | None, note: str) -> None:
            share = f" {100 * done // total} %" if total else ""
            row.figure = f"{title}{share} {note}".rstrip()
            self._redraw()

        return listen

    def _told(self, row: Row) -> None:
        name = {"failed": "stage_failed", "cached": "stage_cached"}.get(
            row.state, "stage_finished"
        )
        self.event(name, **{key: value for key, value in asdict(row).items() if key != "state"})
        self._redraw()
        if self._live is None:
            memory = f", {row.peak_rss_gib:.2f} GiB" if row.peak_rss_gib else ""
            sys.stderr.write(
                f"{row.stage:<9} {row.state:<7} {row.seconds:8.1f} s{memory}  {row.figure}\n"
            )

    def event(self, name: str, **values: Any) -> None:
        """Append one event to ``events.jsonl``."""
        with (self.folder / EVENTS).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"time": now(), "event": name, **values}, default=str) + "\n")

    def _redraw(self) -> None:
        if self._live is not None:
            self._live.update(self.table())

    def table(self) -> Table:
        """Return the stages with their state, time, memory and figure."""
        table = Table(box=box.SIMPLE)
        for heading in ("", "stage", "time s", "RAM GiB", ""):
            table.add_column(heading, justify="right" if heading.endswith(("s", "B")) else "left")
        for row in self.rows.values():
            table.add_row(
                MARKS[row.state],
                row.stage.value,
                "" if row.seconds is None else f"{row.seconds:.1f}",
                "" if row.peak_rss_gib is None else f"{row.peak_rss_gib:.2f}",
                row.figure,
            )
        return table

    def summary(self, **values: Any) -> None:
        """Write ``summary.json``: every stage, and what came of it."""
        rows = [asdict(row) for row in self.rows.values()]
        write_json(self.folder / SUMMARY, {"finished": now(), "stages": rows, **values})
