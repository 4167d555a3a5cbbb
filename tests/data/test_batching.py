"""Every sample once an epoch, little padding, and exact positions."""

import numpy as np
import pytest
import torch
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from evqa.data.batching import BatchLoader, BatchPlan, epoch_batches

LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=50)
PLANS = st.builds(BatchPlan, st.integers(1, 5), st.integers(1, 4), st.integers(1, 3))


@given(LENGTHS, PLANS, st.integers(0, 5))
def test_every_sample_is_seen_once(lengths, plan, seed):
    windows = epoch_batches(lengths, lengths, plan, np.random.default_rng(seed))
    seen = [index for window in windows for batch in window for index in batch.indices]
    assert sorted(seen) == list(range(len(lengths)))
    assert all(len(window) == plan.accumulation * plan.num_devices for window in windows)
    assert all(len(b.indices) <= plan.micro_batch_size for w in windows for b in w)


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


def ids(batches):
    return [batch["sample_ids"] for batch in batches]


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 11), st.integers(0, 2))
def test_resuming_anywhere_gives_the_rest(stop, epoch):
    whole = loader()
    passes = [ids(whole) for _ in range(4)]
    first = loader()
    for _ in range(epoch):
        list(first)
    stream = iter(first)
    for _ in range(stop):
        next(stream)
    state = first.state_dict() if stop else {"epoch": epoch - 1, "position": len(first)}
    second = loader()
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
