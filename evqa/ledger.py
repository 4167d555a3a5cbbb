"""Conservation: at every stage, in = kept + dropped(reason).

``Ledger`` counts while a job runs, writes ``ledger.json`` and ``dropped.jsonl``, and refuses to
end with an imbalance. What is dropped can be written as it happens, so that a job of any size
keeps counts in memory and nothing else.
"""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from evqa.errors import GateError
from evqa.files import write_json
from evqa.records import Dropped, write_jsonl


@dataclass(slots=True)
class Stage:
    """The account of one stage: how many came in, how many were kept, why the rest was not."""

    name: str
    num_in: int = 0
    num_kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)

    @property
    def imbalance(self) -> int:
        """What is unaccounted for; zero in a stage that conserves."""
        return self.num_in - self.num_kept - self.dropped.total()

    def to_dict(self) -> dict[str, Any]:
        """Return the stage as it stands in ``ledger.json``."""
        return {
            "stage": self.name,
            "in": self.num_in,
            "kept": self.num_kept,
            "dropped": dict(sorted(self.dropped.items())),
        }


class Ledger:
    """The stages of one job in order of appearance, and everything they dropped.

    Args:
        stream: Takes each dropped item as a line of ``dropped.jsonl`` at once; without one they
            are kept in ``dropped`` until `write`.
    """

    def __init__(self, stream: IO[str] | None = None) -> None:
        self._stages: dict[str, Stage] = {}
        self._stream = stream
        self.dropped: list[Dropped] = []

    def stage(self, name: str) -> Stage:
        """Return the account of a stage, opened at first use."""
        return self._stages.setdefault(name, Stage(name))

    def enter(self, stage: str, count: int = 1) -> None:
        """Count ``count`` items that came into a stage."""
        self.stage(stage).num_in += count

    def keep(self, stage: str, count: int = 1) -> None:
        """Count ``count`` items that a stage kept."""
        self.stage(stage).num_kept += count

    def drop(self, stage: str, *, id: str, source: str, reason: str, detail: str = "") -> None:
        """Count and record one item that a stage left out."""
        self.stage(stage).dropped[reason] += 1
        record = Dropped(stage=stage, id=id, source=source, reason=reason, detail=detail)
        if self._stream is None:
            self.dropped.append(record)
        else:
            self._stream.write(json.dumps(record.to_dict(), ensure_ascii=False) + "\n")

    def stages(self) -> list[Stage]:
        """Return the accounts in order of appearance."""
        return list(self._stages.values())

    def to_dict(self) -> dict[str, Any]:
        """Return the ledger as it stands in ``ledger.json``."""
        return {"stages": [stage.to_dict() for stage in self.stages()]}

    def check(self) -> None:
        """Refuse an imbalance.

        Raises:
            GateError: naming the first stage whose account does not balance.
        """
        for stage in self.stages():
            if stage.imbalance:
                raise GateError(
                    f"ledger: stage {stage.name!r} does not balance: in={stage.num_in}, "
                    f"kept={stage.num_kept}, dropped={stage.dropped.total()}"
                )

    def write(self, folder: Path) -> None:
        """Write ``ledger.json``, and ``dropped.jsonl`` unless it was streamed, each atomically."""
        if self._stream is None:
            write_jsonl(folder / "dropped.jsonl", self.dropped)
        write_json(folder / "ledger.json", self.to_dict())
