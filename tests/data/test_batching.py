"""Every sample once an epoch, little padding, and exact positions."""

import numpy as np
import pytest
import torch
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from evqa.config.training import Batching
from evqa.data.batching import BatchLoader, BatchPlan, epoch_batches, pack, spread

LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=50)
PLANS = st.builds(
    BatchPlan,
    st.integers(1, 5),
    st.integers(1, 4),
    st.integers(1, 3),
    st.sampled_from(list(Batching)),
    st.just(60),
)


@given(LENGTHS, PLANS, st.integers(0, 5))
def test_every_sample_is_seen_once(lengths, plan, seed):
    windows = epoch_batches(lengths, lengths, plan, np.random.default_rng(seed))
    seen = [index for window in windows for batch in window for index in batch.indices]
    assert sorted(seen) == list(range(len(lengths)))
    assert all(len(window) == plan.accumulation * plan.num_devices for window in windows)
    room = plan.micro_batch_size * plan.max_length_tokens
    for batch in (batch for window in windows for batch in window):
        assert sum(lengths[index] for index in batch.indices) <= room
        assert plan.kind is Batching.packed or len(batch.indices) <= plan.micro_batch_size


@given(LENGTHS, PLANS, st.integers(0, 5))
def test_every_batching_makes_the_same_steps(lengths, plan, seed):
    """Only the cut differs: each step sees the same samples."""

    def steps(kind):
        other = BatchPlan(
            plan.micro_batch_size,
            plan.accumulation,
            plan.num_devices,
            kind,
            plan.max_length_tokens,
        )
        windows = epoch_batches(lengths, lengths, other, np.random.default_rng(seed))
        return [{i for b in w for i in b.indices} for w in windows], [
            w[0].num_window_label_tokens for w in windows
        ]

    assert steps(plan.kind) == steps(Batching.padded)


@given(LENGTHS, st.integers(1, 6))
def test_packing_never_takes_more_passes_than_samples_would(lengths, size):
    bins = pack(range(len(lengths)), lengths, size * 60)
    assert sorted(i for b in bins for i in b) == list(range(len(lengths)))
    assert all(sum(lengths[i] for i in b) <= size * 60 for b in bins)
    assert len(bins) <= -(-len(lengths) // size)


def test_packing_fills_its_passes():
    rng = np.random.default_rng(1)
    lengths = np.exp(rng.normal(4.5, 0.7, 400)).clip(10, 512).astype(int).tolist()
    bins = pack(range(400), lengths, 2048)
    assert len(bins) == -(-sum(lengths) // 2048)  # no packing can need fewer


def test_short_samples_need_fewer_passes():
    plan = BatchPlan(1, 16, 1, Batching.packed, 512)
    (window,) = epoch_batches([100] * 16, [50] * 16, plan, np.random.default_rng(0))
    assert [len(batch.indices) for batch in window] == [0] * 12 + [5, 5, 5, 1]


@given(LENGTHS, PLANS)
def test_a_window_knows_its_label_tokens(lengths, plan):
    labels = [length % 7 for length in lengths]
    for window in epoch_batches(lengths, labels, plan, np.random.default_rng(0)):
        total = sum(labels[i] for batch in window for i in batch.indices)
        assert {batch.num_window_label_tokens for batch in window} == {total}


def test_grouping_by_length_saves_padding():
    rng = np.random.default_rng(0)
    lengths = rng.integers(5, 200, size=512).tolist()

    def padded(order, size):
        parts = [order[i : i + size] for i in range(0, len(order), size)]
        return sum(len(p) * max(lengths[i] for i in p) for p in parts)

    plan = BatchPlan(micro_batch_size=8, accumulation=8)
    windows = epoch_batches(lengths, lengths, plan, rng)
    ours = sum(len(b.indices) * max(lengths[i] for i in b.indices) for w in windows for b in w)
    assert ours < 0.75 * padded(rng.permutation(512).tolist(), 8)


def store(count=23):
    rows = [[5 + i] * (1 + i % 9) for i in range(count)]
    return Dataset.from_dict(
        {
            "id": [f"s{i}" for i in range(count)],
            "input_ids": rows,
            "labels": [[-100, *row[1:]] for row in rows],
            "num_tokens": [len(row) for row in rows],
            "num_label_tokens": [len(row) - 1 for row in rows],
        }
    )


def loader(seed=3, **plan):
    settings = {"micro_batch_size": 2, "accumulation": 2, **plan}
    return BatchLoader(store(), BatchPlan(**settings), pad_token_id=0, seed=seed)


def end_to_end(**plan):
    return loader(batching=Batching.packed, max_length_tokens=9, **plan)


def ids(batches):
    return [batch["sample_ids"] for batch in batches]


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 11), st.integers(0, 2), st.sampled_from(list(Batching)))
def test_resuming_anywhere_gives_the_rest(stop, epoch, batching):
    def make():
        return loader(batching=batching)

    whole = make()
    passes = [ids(whole) for _ in range(4)]
    first = make()
    for _ in range(epoch):
        list(first)
    stream = iter(first)
    for _ in range(stop):
        next(stream)
    beginning = {"epoch": epoch - 1, "position": len(first), "accumulation": 2}
    state = first.state_dict() if stop else beginning
    second = make()
    second.load_state_dict(state)
    assert ids(second) == (passes[epoch][stop:] if stop < len(first) else passes[epoch + 1])
    assert ids(second) == passes[epoch + (1 if stop < len(first) else 2)]


def test_epochs_differ_and_seeds_differ():
    one = loader(seed=1)
    assert ids(one) != ids(one)
    assert ids(loader(seed=1)) == ids(loader(seed=1))
    assert ids(loader(seed=1)) != ids(loader(seed=2))


def test_batches_are_padded_on_the_right():
    batch = next(iter(loader()))
    assert batch["input_ids"].shape == batch["labels"].shape == batch["attention_mask"].shape
    assert torch.equal(batch["attention_mask"] == 0, batch["input_ids"] == 0)
    assert (batch["labels"][batch["attention_mask"] == 0] == -100).all()


def test_the_length_counts_leftovers():
    assert len(loader()) == len(list(loader())) == 12
    assert len(loader(micro_batch_size=5, accumulation=2)) == 6


@pytest.mark.parametrize("num_devices", [2, 3])
def test_devices_share_an_epoch(num_devices):
    plan = BatchPlan(2, 2, num_devices)
    shares = [ids(BatchLoader(store(), plan, 0, 3, rank)) for rank in range(num_devices)]
    assert len({len(share) for share in shares}) == 1
    seen = sorted(name for share in shares for batch in share for name in batch if name)
    assert seen == sorted(f"s{i}" for i in range(23))


def test_validation_is_in_order_of_length_every_time():
    plain = loader(seed=None, accumulation=1)
    first, second = ids(plain), ids(plain)
    assert first == second
    widths = [batch["input_ids"].shape[1] for batch in plain]
    assert widths == sorted(widths)


def test_a_position_counts_windows_when_they_are_cut_otherwise():
    """After running out of memory: half the micro-batch, twice the passes, the same samples."""
    before = loader(micro_batch_size=4, accumulation=1)
    stream = iter(before)
    next(stream)
    rest = [name for batch in ids(stream) for name in batch]
    after = loader(micro_batch_size=2, accumulation=2)
    after.load_state_dict({"epoch": 0, "position": 1, "accumulation": 1})
    assert sorted(name for batch in ids(after) for name in batch) == sorted(rest)


def test_end_to_end_rows_keep_samples_apart():
    for batch in end_to_end():
        lengths = batch["segment_lengths"] if batch["sample_ids"] else (1,)
        ends = np.cumsum(lengths)
        labels = batch["labels"][0]
        assert labels[0] == -100
        assert all(labels[end] == -100 for end in ends[:-1])
        if batch["sample_ids"]:
            assert batch["input_ids"].shape == (1, ends[-1])
            assert batch["position_ids"][0].tolist() == [
                place for length in lengths for place in range(length)
            ]
            assert torch.bincount(batch["owners"][0]).tolist() == list(lengths)


def test_devices_meet_in_the_last_pass_of_a_packed_step():
    plan = BatchPlan(1, 4, 2, Batching.packed, 64)
    windows = epoch_batches([8] * 30, [4] * 30, plan, np.random.default_rng(0))
    for window in windows:
        filled = [bool(batch.indices) for batch in window]
        assert filled == sorted(filled), "the empty ones come first"


@given(LENGTHS, st.integers(1, 4), st.integers(2, 4))
def test_spreading_gives_every_device_as_many_passes(lengths, size, devices):
    bins = pack(range(len(lengths)), lengths, size * 60)
    even = spread(bins, lengths, size * 60, devices)
    assert sorted(i for b in even for i in b) == list(range(len(lengths)))
    assert all(sum(lengths[i] for i in b) <= size * 60 for b in even)
    assert even == bins or len(even) % devices == 0
