"""Which samples go together.

A *window* is what one optimiser step sees: accumulation × micro-batch × devices samples, drawn at
random, whatever the batching; batching only decides how a window is cut into forward passes. So
every batching makes the same steps from the same samples, with the same loss. The order of an
epoch depends on (seed, epoch) alone, so a position is just (epoch, window, micro-batch): resuming
is exact.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from evqa.config.training import Batching
from evqa.data.collate import concatenated, padded


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """The samples of one forward pass on one device; none when a window needs fewer passes.

    Attributes:
        indices: Which samples.
        num_window_label_tokens: Label tokens of the whole window on all devices; the loss is
            divided by it, so a step's loss is the mean over all its label tokens.
    """

    indices: tuple[int, ...]
    num_window_label_tokens: int


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """How windows are cut.

    Attributes:
        micro_batch_size: Samples of a forward pass (of packed: of the longest samples).
        accumulation: Forward passes a step on each device (of packed: at most).
        num_devices: Devices.
        batching: How samples share a forward pass.
        max_length_tokens: Longest sample; with micro_batch_size, what a packed pass holds.
    """

    micro_batch_size: int
    accumulation: int
    num_devices: int = 1
    batching: Batching = Batching.length_grouped
    max_length_tokens: int = 0

    @property
    def window(self) -> int:
        """Samples an optimiser step."""
        return self.micro_batch_size * self.accumulation * self.num_devices

    @property
    def num_passes(self) -> int:
        """Micro-batches of a window, on all devices."""
        return self.accumulation * self.num_devices

    @property
    def kind(self) -> Batching:
        """The batching that ``auto`` stands for: no padding, and the fewest passes."""
        return Batching.packed if self.batching is Batching.auto else self.batching


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
        window = order[start : start + plan.window].tolist()
        total = sum(label_counts[index] for index in window)
        parts = _cut(window, lengths, plan, rng)
        windows.append([MicroBatch(tuple(part), total) for part in parts])
    return windows


def _cut(
    window: list[int], lengths: Sequence[int], plan: BatchPlan, rng: np.random.Generator | None
) -> list[list[int]]:
    if plan.kind is Batching.packed:
        capacity = plan.micro_batch_size * plan.max_length_tokens
        bins = pack(window, lengths, capacity)
        if plan.num_devices > 1:
            bins = spread(bins, lengths, capacity, plan.num_devices)
        # The empty ones come first: the last pass of a step is the one that devices meet in.
        return [[] for _ in range(plan.num_passes - len(bins))] + bins
    if plan.kind is Batching.length_grouped:
        window = sorted(window, key=lambda index: lengths[index])
    parts = [part.tolist() for part in np.array_split(window, plan.num_passes)]
    if rng is not None and plan.kind is Batching.length_grouped:
        return [parts[place] for place in rng.permutation(len(parts))]
    return parts


def pack(samples: Sequence[int], lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Distribute samples over bins of ``capacity`` tokens: best fit, the longest first.

    With a capacity of m × the longest length, a new bin is opened only when all others hold more
    than (m - 1) × that length, so at least m samples: there are never more than ceil(n / m) bins.
    """
    bins: list[list[int]] = []
    free: list[int] = []
    for index in sorted(samples, key=lambda sample: (-lengths[sample], sample)):
        fitting = [place for place, room in enumerate(free) if room >= lengths[index]]
        if fitting:
            place = min(fitting, key=lambda candidate: free[candidate])
            bins[place].append(index)
            free[place] -= lengths[index]
        else:
            bins.append([index])
            free.append(capacity - lengths[index])
    return bins


def spread(
    bins: list[list[int]], lengths: Sequence[int], capacity: int, num_devices: int
) -> list[list[int]]:
    """Return the samples of ``bins`` so that every device has the same number of passes.

    Bins are added up to a multiple of the devices and filled evenly, the longest sample into the
    emptiest; where that would overfill one, the bins stay as they are.
    """
    count = -(-len(bins) // num_devices) * num_devices
    even: list[list[int]] = [[] for _ in range(count)]
    loads = [0] * count
    for index in sorted(
        (i for b in bins for i in b), key=lambda sample: (-lengths[sample], sample)
    ):
        place = loads.index(min(loads))
        even[place].append(index)
        loads[place] += lengths[index]
    even.sort(key=bool)  # a step of fewer samples than devices leaves some empty: those first
    return even if max(loads) <= capacity else bins


class BatchLoader:
    """An iterable of batches that knows where it is (Lightning saves and restores it).

    Args:
        store: A `datasets.Dataset` with input_ids, labels, num_tokens, num_label_tokens.
        plan: How windows are cut.
        pad_token_id: Fills the rows up.
        seed: Of the order; None keeps the samples sorted by length.
        rank: Which device's micro-batches to yield.
    """

    def __init__(
        self, store: Any, plan: BatchPlan, pad_token_id: int, seed: int | None, rank: int = 0
    ) -> None:
        self._lengths: list[int] = list(store["num_tokens"])
        self._label_counts: list[int] = list(store["num_label_tokens"])
        self.store = store
        longest = max([plan.max_length_tokens, *self._lengths])
        self.plan = replace(plan, max_length_tokens=longest)
        self.pad_token_id = pad_token_id
        self.seed = seed
        self.rank = rank
        self.epoch = -1  # counted up at the start of each pass: Lightning does not exhaust passes
        self.position = 0
        self._resume_at: int | None = None

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
        end_to_end = self.plan.kind in (Batching.padding_free, Batching.packed)
        columns = concatenated(rows) if end_to_end and rows else padded(rows, self.pad_token_id)
        return {
            **columns,
            "num_window_label_tokens": batch.num_window_label_tokens,
            "sample_ids": [row["id"] for row in rows],
        }

    def state_dict(self) -> dict[str, int]:
        """Return the position: epoch, and micro-batches of a given size already yielded."""
        return {
            "epoch": self.epoch,
            "position": self.position,
            "accumulation": self.plan.accumulation,
        }

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on after the position of ``state``; at the end of a pass, with the next one.

        Windows that were cut into another number of passes count as windows: a training whose
        micro-batch was halved goes on with the same samples.
        """
        self.epoch = state["epoch"]
        position = state["position"] * self.plan.accumulation // state["accumulation"]
        self._resume_at = position if position < len(self) else None
