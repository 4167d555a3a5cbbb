"""Which samples go together: length-grouped micro-batches inside random optimiser windows.

A *window* is what one optimiser step sees: accumulation × micro-batch × devices samples, drawn at
random. Inside a window samples are sorted by length before they are cut into micro-batches, so
little is padded while every step's gradient stays that of a random draw. The order of an epoch
depends on (seed, epoch) alone, so a position is just (epoch, micro-batch): resuming is exact.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from evqa.data.dataset import pad_batch


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """The samples of one forward pass on one device.

    Attributes:
        indices: Which samples.
        num_window_label_tokens: Label tokens of the whole window on all devices; the loss is
            divided by it, so a step's loss is the mean over all its label tokens.
    """

    indices: tuple[int, ...]
    num_window_label_tokens: int


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """Sizes: samples a forward pass, forward passes a step on each device, devices."""

    micro_batch_size: int
    accumulation: int
    num_devices: int = 1

    @property
    def window(self) -> int:
        """Samples an optimiser step."""
        return self.micro_batch_size * self.accumulation * self.num_devices


def epoch_batches(
    lengths: Sequence[int],
    label_counts: Sequence[int],
    plan: BatchPlan,
    rng: np.random.Generator | None,
) -> list[list[MicroBatch]]:
    """Return the windows of one epoch, each a list of accumulation × devices micro-batches.

    The last window holds what is left over, in smaller micro-batches; no sample is left out and
    none is repeated. Without ``rng`` the order is by length (validation).
    """
    count = len(lengths)
    order = np.argsort(lengths, kind="stable") if rng is None else rng.permutation(count)
    windows = []
    for start in range(0, count, plan.window):
        window = sorted(order[start : start + plan.window].tolist(), key=lambda i: lengths[i])
        parts = [p.tolist() for p in np.array_split(window, plan.accumulation * plan.num_devices)]
        if rng is not None:
            parts = [parts[place] for place in rng.permutation(len(parts))]
        total = sum(label_counts[index] for index in window)
        windows.append([MicroBatch(tuple(part), total) for part in parts])
    return windows


class BatchLoader:
    """An iterable of padded batches that knows where it is (Lightning saves and restores it).

    Args:
        store: A `datasets.Dataset` with input_ids, labels, num_tokens, num_label_tokens.
        plan: Sizes.
        pad_token_id: Fills the rows up.
        seed: Of the order; None keeps the samples sorted by length.
        rank: Which device's micro-batches to yield.
    """

    def __init__(
        self, store: Any, plan: BatchPlan, pad_token_id: int, seed: int | None, rank: int = 0
    ) -> None:
        self.store = store
        self.plan = plan
        self.pad_token_id = pad_token_id
        self.seed = seed
        self.rank = rank
        self.epoch = -1  # counted up at the start of each pass: Lightning does not exhaust passes
        self.position = 0
        self._resume_at: int | None = None
        self._lengths: list[int] = list(store["num_tokens"])
        self._label_counts: list[int] = list(store["num_label_tokens"])

    def __len__(self) -> int:
        """Micro-batches a pass on this device."""
        return self.plan.accumulation * -(-len(self._lengths) // self.plan.window)

    def _batches(self) -> list[MicroBatch]:
        rng = None if self.seed is None else np.random.default_rng([self.seed, self.epoch])
        windows = epoch_batches(self._lengths, self._label_counts, self.plan, rng)
        devices = self.plan.num_devices
        return [batch for window in windows for batch in window[self.rank :: devices]]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the batches of one pass; after a restore, those that are still to come."""
        if self._resume_at is None:
            self.epoch += 1
            self.position = 0
        else:
            self.position, self._resume_at = self._resume_at, None
        for batch in self._batches()[self.position :]:
            self.position += 1
            yield self._collate(batch)

    def _collate(self, batch: MicroBatch) -> dict[str, Any]:
        rows = [self.store[index] for index in batch.indices]
        if not rows:  # a leftover window smaller than its number of micro-batches
            rows = [_empty_row(self.pad_token_id)]
        columns = pad_batch(rows, self.pad_token_id)
        return {
            **{name: torch.tensor(values) for name, values in columns.items()},
            "num_window_label_tokens": batch.num_window_label_tokens,
            "sample_ids": [row["id"] for row in rows],
        }

    def state_dict(self) -> dict[str, int]:
        """Return the position: epoch and micro-batches already yielded."""
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on after the position of ``state``; at the end of a pass, with the next one."""
        self.epoch = state["epoch"]
        self._resume_at = state["position"] if state["position"] < len(self) else None


def _empty_row(pad_token_id: int) -> dict[str, Any]:
    return {"id": "", "input_ids": [pad_token_id], "labels": [-100]}
