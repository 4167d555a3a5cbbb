"""Activation checkpointing of a share of the layers, their inputs kept in CPU memory if wanted.

A checkpointed layer keeps its input only and is computed again in the backward pass
(https://arxiv.org/abs/1604.06174). Which layers: the first ones, since the last are needed first
in the backward pass and their activations are the shortest alive.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from evqa.config.training import MemoryConfig

MIN_OFFLOADED_ELEMENTS = 1024  # smaller tensors are not worth the journey
Host = tuple[Tensor, torch.device]


def apply_checkpointing(model: Any, memory: MemoryConfig) -> int:
    """Turn checkpointing on as the config says.

    Args:
        model: The transformers model, adapter layers in place.
        memory: Share of the layers, and whether to offload.

    Returns:
        How many layers are checkpointed.
    """
    layers = model.get_decoder().layers
    count = memory.num_checkpointed(len(layers))
    if count == 0:
        model.activation_checkpointing_disable()
        return 0
    model.activation_checkpointing_enable({"use_reentrant": False})  # input gradients too
    function = offloaded_checkpoint if memory.offload_checkpoints else _checkpoint
    for place, layer in enumerate(layers):
        layer.gradient_checkpointing = place < count
        layer._gradient_checkpointing_func = function
    return count


def _checkpoint(function: Callable[..., Any], *arguments: Any) -> Any:
    return checkpoint(function, *arguments, use_reentrant=False)


def offloaded_checkpoint(function: Callable[..., Any], *arguments: Any) -> Any:
    """Checkpoint a layer whose input waits in CPU memory (pinned where there is a GPU)."""
    with torch.autograd.graph.saved_tensors_hooks(to_host, to_device):
        return _checkpoint(function, *arguments)


def to_host(tensor: Tensor) -> Tensor | Host:
    """Return a layer's input as a copy in CPU memory; anything else as it is."""
    if not tensor.requires_grad or tensor.numel() < MIN_OFFLOADED_ELEMENTS:
        return tensor
    pinned = tensor.device.type == "cuda"
    copy = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=pinned)
    copy.copy_(tensor.detach(), non_blocking=pinned)
    return copy, tensor.device


def to_device(saved: Tensor | Host) -> Tensor:
    """Bring a layer's input back."""
    if isinstance(saved, Tensor):
        return saved
    copy, device = saved
    return copy.to(device, non_blocking=True)
