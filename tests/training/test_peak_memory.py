"""The memory of a step, measured: every storage that an operation makes, while it lives."""

import weakref

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from evqa.config.training import MemoryConfig
from evqa.data.collate import concatenated, padded
from evqa.models.attention import attention_within_samples
from evqa.training.checkpointing import apply_checkpointing
from evqa.training.losses import batch_loss


class LiveBytes(TorchDispatchMode):
    """Follows the bytes of all tensors made meanwhile, and their peak."""

    def __init__(self):
        super().__init__()
        self.now = self.peak = 0
        self._known = set()

    def _gone(self, key, size):
        self.now -= size
        self._known.discard(key)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        return out

    def _count(self, storage):
        key, size = storage.data_ptr(), storage.nbytes()
        if key and key not in self._known:
            self._known.add(key)
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._gone, key, size)


def peak_of(work):
    with LiveBytes() as seen:
        work()
    return seen.peak


def test_the_measure_sees_what_lives_together():
    def one_after_the_other():
        for _ in range(5):
            torch.zeros(1000).sum()

    def side_by_side():
        return sum(torch.stack([torch.zeros(1000) for _ in range(5)]).sum() for _ in range(1))

    assert 4000 <= peak_of(one_after_the_other) < 3 * 4000
    assert peak_of(side_by_side) >= 10 * 4000


@pytest.fixture
def rows():
    torch.manual_seed(0)
    made = []
    for number, length in enumerate((120, 90, 75, 60)):
        ids = torch.randint(5, 384, (length,)).tolist()
        made.append({"id": str(number), "input_ids": ids, "labels": [-100] * 20 + ids[20:]})
    return made


@pytest.mark.parametrize("end_to_end", [True, False])
@pytest.mark.parametrize("checkpointed", [True, False])
def test_a_validation_step_takes_no_more_than_a_training_step(
    adapted, rows, end_to_end, checkpointed
):
    batch = concatenated(rows) if end_to_end else padded(rows, 0)
    base = adapted.get_base_model()
    apply_checkpointing(base, MemoryConfig(gradient_checkpointing=checkpointed))
    tile = 64

    def training():
        batch_loss(base, batch, tile).total.backward()

    def validation():
        with torch.no_grad():
            batch_loss(base, batch, tile)

    with attention_within_samples(base):
        peak_of(training)  # gradients exist from now on, as they do in a run
        trained = peak_of(training)
        adapted.eval()
        validated = peak_of(validation)
    assert 0 < validated <= trained
