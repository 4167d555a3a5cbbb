"""PiSSA and LoftQ: adapters that start from singular vectors of the base's own weights.

Shapes: W is out × in, B is out × r, A is r × in; s is the adapter's scaling. PiSSA
(https://arxiv.org/abs/2404.02948) starts with s·B·A = the r largest singular components of W and
quantises the rest; LoftQ (https://arxiv.org/abs/2310.08659, one iteration) keeps the quantised W
and starts with s·B·A = the largest components of what quantising lost. Either adapter belongs to
its start, so what is saved is the difference to it, [B, -B0]·[A; A0], a LoRA of rank 2r for the
original base: plain peft loads it, merging and vLLM take it.
"""

import copy
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from evqa.config.model import LoraConfig, LoraInit
from evqa.errors import UserError
from evqa.files import read_json

ADAPTER = "default"  # peft's name of the only adapter
POWER_ITERATIONS = 8
Start = dict[str, tuple[Tensor, Tensor]]


class Weights:
    """The full-precision weights of a model folder, read one tensor at a time."""

    def __init__(self, folder: Path) -> None:
        index = folder / "model.safetensors.index.json"
        self.folder = folder
        self._files: dict[str, str] | None = (
            read_json(index)["weight_map"] if index.is_file() else None
        )

    def read(self, name: str) -> Tensor:
        """Return one tensor in fp32.

        Raises:
            UserError: the folder has no such tensor in safetensors.
        """
        from safetensors import SafetensorError, safe_open

        file = self._files.get(name, "") if self._files is not None else "model.safetensors"
        try:
            with safe_open(self.folder / file, "pt") as stream:
                tensor: Tensor = stream.get_tensor(name)
        except (OSError, SafetensorError):
            raise UserError(
                f"lora.init: {self.folder} has no {name} in safetensors; use lora.init=default"
            ) from None
        return tensor.float()


def adapter_layers(model: Any) -> Iterator[tuple[str, Any]]:
    """Yield ``(name in the base, layer)`` of every adapted layer of a peft model."""
    for name, module in model.get_base_model().named_modules():
        if hasattr(module, "lora_A") and hasattr(module, "base_layer"):
            yield name, module


def initialise(model: Any, lora: LoraConfig, folder: Path) -> Start:
    """Give every adapter layer its start.

    Args:
        model: A fresh peft model.
        lora: Says how.
        folder: The base's folder, with its full-precision weights.

    Returns:
        A0 and B0 by layer, on the CPU; empty for ``lora.init=default``.
    """
    start: Start = {}
    if lora.init is LoraInit.default:
        return start
    weights = Weights(folder)
    for name, layer in adapter_layers(model):
        base = layer.get_base_layer()
        full = weights.read(f"{name}.weight").to(base.weight.device)
        goal = full if lora.init is LoraInit.pissa else full - _stored(base)
        a, b = largest_components(goal, lora.r, layer.scaling[ADAPTER])
        with torch.no_grad():
            layer.lora_A[ADAPTER].weight.copy_(a)
            layer.lora_B[ADAPTER].weight.copy_(b)
        a, b = (m[ADAPTER].weight.detach().float() for m in (layer.lora_A, layer.lora_B))
        start[name] = (a.cpu().clone(), b.cpu().clone())
        if lora.init is LoraInit.pissa:
            _store(base, full - layer.scaling[ADAPTER] * b @ a)
    return start


def largest_components(matrix: Tensor, rank: int, scaling: float) -> tuple[Tensor, Tensor]:
    """Return A (r × in) and B (out × r) whose scaled product is the best rank-r approximation."""
    u, s, v = torch.svd_lowrank(matrix, q=min(rank, *matrix.shape), niter=POWER_ITERATIONS)
    root = (s / scaling).sqrt()
    a, b = root[:, None] * v.t(), u * root
    missing = rank - s.numel()  # a rank larger than the matrix: the rest stays zero
    return (
        torch.nn.functional.pad(a, (0, 0, 0, missing)),
        torch.nn.functional.pad(b, (0, missing)),
    )


def _stored(base: Any) -> Tensor:
    state = getattr(base.weight, "quant_state", None)
    if state is None:
        return base.weight.detach().float()  # type: ignore[no-any-return]
    from bitsandbytes.functional import dequantize_4bit

    return dequantize_4bit(base.weight.data, state).float()  # type: ignore[no-any-return]


def _store(base: Any, values: Tensor) -> None:
    state = getattr(base.weight, "quant_state", None)
    if state is None:
        with torch.no_grad():
            base.weight.copy_(values)
        return
    from bitsandbytes.functional import quantize_4bit

    packed, new_state = quantize_4bit(
        values.to(state.dtype),
        blocksize=state.blocksize,
        compress_statistics=state.nested,
        quant_type=state.quant_type,
        quant_storage=base.weight.data.dtype,
    )
    base.weight.data = packed
    base.weight.quant_state = base.quant_state = new_state


def difference_to_start(
    state: dict[str, Tensor], peft_config: Any, start: Start
) -> tuple[dict[str, Tensor], Any]:
    """Return an adapter as the difference to its start: tensors and config of a LoRA of rank 2r.

    Args:
        state: The adapter's tensors by peft's saved names.
        peft_config: Its config.
        start: What `initialise` returned.
    """
    tensors = {}
    for name, value in state.items():
        layer = name.removeprefix("base_model.model.").rpartition(".lora_")[0]
        a0, b0 = (part.to(value.dtype) for part in start[layer])
        if ".lora_A." in name:
            tensors[name] = torch.cat([value.cpu(), a0], dim=0).contiguous()
        else:
            tensors[name] = torch.cat([value.cpu(), -b0], dim=1).contiguous()
    config = copy.deepcopy(peft_config)
    # The scaling stays: alpha / r, or alpha / sqrt(r) with rsLoRA.
    config.lora_alpha *= math.sqrt(2) if config.use_rslora else 2
    config.r *= 2
    return tensors, config
