"""Rows of token ids to tensors: side by side and filled up, or end to end in one row.

Shapes: B samples, T tokens. Both forms give the model the same conversations at the same positions
and the loss the same labels.
"""

from collections.abc import Sequence
from typing import Any

import torch

from evqa.models.chat import IGNORED_LABEL

Row = dict[str, Any]


def padded(rows: Sequence[Row], pad_token_id: int) -> dict[str, Any]:
    """Return the samples side by side, filled up on the right to the longest.

    Returns:
        ``input_ids``, ``labels``, ``attention_mask`` and ``owners`` (which sample a place belongs
        to), each B × T. Without samples a single pad token that nothing is learnt from stands in
        for them (devices that share a step must all run a forward pass).
    """
    if not rows:
        rows = [{"input_ids": [pad_token_id], "labels": [IGNORED_LABEL]}]
    width = max(len(row["input_ids"]) for row in rows)
    gaps = [width - len(row["input_ids"]) for row in rows]

    def fill(name: str, filler: int) -> torch.Tensor:
        return torch.tensor(
            [[*row[name], *[filler] * gap] for row, gap in zip(rows, gaps, strict=True)]
        )

    input_ids = fill("input_ids", pad_token_id)
    return {
        "input_ids": input_ids,
        "labels": fill("labels", IGNORED_LABEL),
        "attention_mask": torch.tensor([[1] * (width - gap) + [0] * gap for gap in gaps]),
        "owners": torch.arange(len(rows))[:, None].expand_as(input_ids),
    }


def concatenated(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the samples end to end.

    Returns:
        ``input_ids``, ``labels``, ``position_ids`` (from zero in each sample) and ``owners``, each
        1 × T, and ``segment_lengths``. A sample's first token is never a label: what precedes it
        in the row belongs to another sample.
    """
    lengths = [len(row["input_ids"]) for row in rows]
    ids = [token for row in rows for token in row["input_ids"]]
    labels = [label for row in rows for label in (IGNORED_LABEL, *row["labels"][1:])]
    return {
        "input_ids": torch.tensor([ids]),
        "labels": torch.tensor([labels]),
        "position_ids": torch.cat([torch.arange(length) for length in lengths])[None],
        "owners": torch.repeat_interleave(torch.arange(len(rows)), torch.tensor(lengths))[None],
        "segment_lengths": tuple(lengths),
    }
