"""Attention within samples: several samples lie end to end in one row, and none sees another.

Each sample is a causal attention of its own over a slice of the row, so the work is that of the
samples alone, no T × T mask exists, and the fused kernels (which take no mask) can be used on any
device. Shapes: B rows, T tokens, D head width.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

SEGMENTED = "evqa_segmented"
FLASH = "flash_attention_2"  # has its own kernel for rows of several samples


def segmented_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,  # noqa: ARG001  transformers' signature
    segment_lengths: Sequence[int] | None = None,
    **settings: Any,
) -> tuple[Tensor, None]:
    """Attend causally within each segment of a row, by transformers' attention interface.

    Args:
        module: The attention layer, for its ratio of query to key heads.
        query: B × heads × T × D.
        key: B × key heads × T × D.
        value: B × key heads × T × D.
        attention_mask: Not used: on the right, padding is seen by nobody.
        segment_lengths: Tokens of each sample of the one row; None: each row is one sample.
        settings: The layer's others; ``dropout``, ``scaling`` and ``sliding_window`` count.

    Returns:
        B × T × heads × D, and no weights.
    """
    groups = int(getattr(module, "num_key_value_groups", 1))
    numbers: dict[str, Any] = {
        "dropout_p": settings.get("dropout", 0.0),
        "scale": settings.get("scaling"),
    }
    if groups > 1 and query.is_cuda:
        numbers["enable_gqa"] = True  # the fused kernels repeat keys and values by themselves
    elif groups > 1:
        key = key.repeat_interleave(groups, dim=1)
        value = value.repeat_interleave(groups, dim=1)
    lengths = [query.shape[2]] if segment_lengths is None else list(segment_lengths)
    window = settings.get("sliding_window")
    rows = (torch.split(whole, lengths, dim=2) for whole in (query, key, value))
    parts = [
        functional.scaled_dot_product_attention(q, k, v, **numbers, **_causal(q, window))
        for q, k, v in zip(*rows, strict=True)
    ]
    if len(parts) == 1:
        return parts[0].transpose(1, 2).contiguous(), None
    return torch.cat([part.transpose(1, 2) for part in parts], dim=1), None


def _causal(query: Tensor, window: int | None) -> dict[str, Any]:
    length = query.shape[2]
    if window is None or length <= window:
        return {"is_causal": True}
    places = torch.arange(length, device=query.device)
    distance = places[:, None] - places[None, :]
    return {"attn_mask": (distance >= 0) & (distance < window)}


@contextmanager
def attention_within_samples(model: Any) -> Iterator[None]:
    """Let a transformers model attend by `segmented_attention` while the block runs.

    FlashAttention keeps its own kernel. Generation needs the model's own attention (a cache, and
    padding on the left), so it is put back at the end.
    """
    from transformers import AttentionInterface

    before = model.config._attn_implementation
    if before == FLASH:
        yield
        return
    AttentionInterface.register(SEGMENTED, segmented_attention)
    model.config._attn_implementation = SEGMENTED
    try:
        yield
    finally:
        model.config._attn_implementation = before


def attention_arguments(model: Any, lengths: Sequence[int] | None, device: Any) -> dict[str, Any]:
    """Return what a decoder must be told about the samples of a row.

    Args:
        model: A transformers model.
        lengths: Tokens of each sample of the one row; None: each row is one sample.
        device: Of the row.
    """
    if lengths is None:
        return {}
    if model.config._attn_implementation != FLASH:
        return {"segment_lengths": tuple(lengths)}
    ends = torch.tensor([0, *lengths], device=device).cumsum(0).to(torch.int32)
    longest = max(lengths)
    return {
        "cu_seq_lens_q": ends,
        "cu_seq_lens_k": ends,
        "max_length_q": longest,
        "max_length_k": longest,
    }
