"""Cross-entropy over the labelled positions only, one vocabulary tile at a time.

Shapes: B rows, T tokens, H hidden size, V vocabulary, W words of a tile, N labelled positions.
The head is applied to N positions instead of B × T, and logits exist for W words at a time, in
forward and backward: the full logits never do. The gradient of the loss with respect to a hidden
state is the softmax-weighted mean of the head's rows minus the target's row, which is attention
over the vocabulary; like FlashAttention (https://arxiv.org/abs/2205.14135) one pass with a running
maximum gives both the loss and it, so nothing is computed twice.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from evqa.models.attention import attention_arguments
from evqa.models.chat import IGNORED_LABEL

ROWS_AT_A_TIME = 1024  # positions whose logits of one tile exist at a time
Tiles = Callable[[], Iterator[tuple[int, Tensor]]]


@dataclass(frozen=True, slots=True)
class BatchLoss:
    """The loss of a batch.

    Attributes:
        total: Summed cross-entropy, nats, with its graph.
        num_label_tokens: Positions that it was summed over.
        by_sample: ``total`` by sample, without graph.
        counts: Label tokens by sample.
    """

    total: Tensor
    num_label_tokens: int
    by_sample: Tensor
    counts: Tensor


def labelled(hidden: Tensor, labels: Tensor, owners: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Select what predicts a labelled token.

    Args:
        hidden: Last hidden states, B × T × H.
        labels: B × T token ids, -100 where the loss does not look.
        owners: B × T, which sample a place belongs to.

    Returns:
        Hidden states N × H of the positions before each labelled token, the N tokens, and their
        samples.
    """
    targets = labels[:, 1:]
    kept = targets != IGNORED_LABEL
    return hidden[:, :-1][kept], targets[kept], owners[:, 1:][kept]


def head_tiles(head: Any, tile_tokens: int) -> Tiles:
    """Return an iterator over ``(first word, W × H weights)`` of a model's head.

    A head that stores itself in tiles (see `evqa.models.head`) gives them itself.
    """
    own: Tiles | None = getattr(head, "tiles", None)
    if own is not None:
        return own
    weight = head.weight

    def tiles() -> Iterator[tuple[int, Tensor]]:
        for start in range(0, weight.shape[0], tile_tokens):
            yield start, weight[start : start + tile_tokens]

    return tiles


class TiledCrossEntropy(torch.autograd.Function):
    """Cross-entropy of each position, the vocabulary in tiles; the head is frozen."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, targets: Tensor, tiles: Tiles) -> Tensor:
        """Return N losses (nats, fp32), and keep the gradient of each hidden state (N × H)."""
        running = _Running(hidden, targets, with_gradient=ctx.needs_input_grad[0])
        for start, weight in tiles():
            for first in range(0, hidden.shape[0], ROWS_AT_A_TIME):
                running.add(slice(first, first + ROWS_AT_A_TIME), start, weight)
        if running.gradient is not None:
            ctx.save_for_backward(running.finished_gradient().to(hidden.dtype))
        return running.losses()

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None, None]:
        """Return the gradient of the hidden states."""
        (rows,) = ctx.saved_tensors
        return rows * gradients[0][:, None].to(rows.dtype), None, None


class _Running:
    """Softmax over the words seen so far: maximum, sum, weighted mean of the head's rows."""

    def __init__(self, hidden: Tensor, targets: Tensor, *, with_gradient: bool) -> None:
        count = hidden.shape[0]
        options: dict[str, Any] = {"device": hidden.device, "dtype": torch.float32}
        self.hidden = hidden
        self.targets = targets
        self.maximum = torch.full((count,), -torch.inf, **options)
        self.sum = torch.zeros(count, **options)
        self.target_logit = torch.zeros(count, **options)
        self.gradient = torch.zeros(hidden.shape, **options) if with_gradient else None
        self.target_rows = torch.zeros_like(hidden) if with_gradient else None

    def add(self, rows: slice, start: int, weight: Tensor) -> None:
        """Take in a tile (W × H, its first word ``start``) for some of the positions."""
        logits = (self.hidden[rows].to(weight.dtype) @ weight.t()).float()
        place = self.targets[rows] - start
        hit = (place >= 0) & (place < weight.shape[0])
        place = place.clamp(0, weight.shape[0] - 1)
        found = logits.gather(1, place[:, None])[:, 0]
        self.target_logit[rows] = torch.where(hit, found, self.target_logit[rows])
        largest = torch.maximum(self.maximum[rows], logits.amax(1))
        shrink = torch.exp(self.maximum[rows] - largest)
        weights = logits.sub_(largest[:, None]).exp_()
        self.maximum[rows] = largest
        self.sum[rows] = self.sum[rows] * shrink + weights.sum(1)
        if self.gradient is None or self.target_rows is None:
            return
        own = self.gradient[rows]
        own.mul_(shrink[:, None]).add_(weights.to(weight.dtype) @ weight)
        target_rows = self.target_rows[rows]
        target_rows[hit] = weight[place[hit]].to(target_rows.dtype)

    def finished_gradient(self) -> Tensor:
        """Return the gradient of each hidden state, N × H."""
        assert self.gradient is not None
        assert self.target_rows is not None
        return self.gradient.div_(self.sum[:, None]).sub_(self.target_rows)

    def losses(self) -> Tensor:
        """Return N losses, nats."""
        return self.maximum + self.sum.log() - self.target_logit


def batch_loss(model: Any, batch: dict[str, Any], tile_tokens: int = 8192) -> BatchLoss:
    """Return the cross-entropy of a batch.

    Args:
        model: A causal language model (transformers), adapter layers included; it attends within
            samples (see `evqa.models.attention`) when the batch lies end to end.
        batch: What `evqa.data.collate` makes.
        tile_tokens: Words of the vocabulary that have logits at a time.
    """
    lengths = batch.get("segment_lengths")
    ids = batch["input_ids"]
    output = model.get_decoder()(
        input_ids=ids,
        attention_mask=batch.get("attention_mask"),
        position_ids=batch.get("position_ids"),
        **attention_arguments(model, lengths, ids.device),
    )
    hidden, targets, owners = labelled(output.last_hidden_state, batch["labels"], batch["owners"])
    tiles = head_tiles(model.get_output_embeddings(), tile_tokens)
    losses: Tensor = TiledCrossEntropy.apply(hidden, targets, tiles)  # type: ignore[no-untyped-call]
    num_samples = len(lengths) if lengths is not None else ids.shape[0]
    by_sample = torch.zeros(num_samples, device=ids.device)
    return BatchLoss(
        total=losses.sum(),
        num_label_tokens=int(targets.numel()),
        by_sample=by_sample.index_add(0, owners, losses.detach()),
        counts=torch.bincount(owners, minlength=num_samples),
    )
