"""The label-only loss equals transformers' own, and never holds full logits."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from evqa.config.model import LoraConfig
from evqa.models.load import attach_adapter
from evqa.training.losses import label_loss_sum, labelled_hidden


@pytest.fixture
def batch():
    torch.manual_seed(0)
    ids = torch.randint(5, 384, (8, 40))
    labels = ids.clone()
    labels[:, :30] = -100
    mask = torch.ones_like(ids)
    mask[0, 36:] = 0
    labels[0, 36:] = -100
    return {"input_ids": ids, "labels": labels, "attention_mask": mask}


def test_equals_transformers(tiny_base, batch):
    loss_sum, count = label_loss_sum(tiny_base.model, batch)
    theirs = tiny_base.model(**batch).loss
    assert count == int((batch["labels"] != -100).sum())
    assert float(loss_sum / count) == pytest.approx(float(theirs), abs=1e-5)


def test_gradients_equal_transformers(tiny_base, batch):
    model = attach_adapter(tiny_base.model, LoraConfig(r=4, dropout=0.0))

    def gradients(loss):
        model.zero_grad()
        loss.backward()
        return [p.grad.clone() for p in model.parameters() if p.grad is not None]

    loss_sum, count = label_loss_sum(model.get_base_model(), batch)
    ours = gradients(loss_sum / count)
    theirs = gradients(model(**batch).loss)
    for one, two in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, two, atol=1e-6, rtol=1e-4)


def test_the_first_token_predicts_nothing():
    hidden = torch.arange(4.0).reshape(1, 4, 1)
    states, targets = labelled_hidden(hidden, torch.tensor([[9, -100, 7, 8]]))
    assert states.flatten().tolist() == [1.0, 2.0]
    assert targets.tolist() == [7, 8]


class LargestTensor(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.rows = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor) and out.ndim and out.shape[-1] == 384:
            self.rows = max(self.rows, out.numel() // 384)
        return out


def test_logits_are_only_made_where_there_are_labels(tiny_base, batch):
    with LargestTensor() as seen:
        label_loss_sum(tiny_base.model, batch)
    # 64 rows are the head's own weights.
    assert seen.rows == max(64, int((batch["labels"] != -100).sum())) < batch["labels"].numel()


def test_a_batch_without_labels_is_zero(tiny_base, batch):
    batch["labels"][:] = -100
    loss_sum, count = label_loss_sum(tiny_base.model, batch)
    assert (float(loss_sum), count) == (0.0, 0)
