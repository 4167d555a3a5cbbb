"""Merged weights rounded to fewer bits, in the format that vLLM reads (compressed-tensors).

No calibration data: int4 scales are those of the least squared rounding error of each group,
searched over clipped ranges; fp8 scales are the rows' largest values. The layout of the files is
the compressed-tensors library's (https://github.com/vllm-project/compressed-tensors).
"""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from evqa.config.serving import ExportQuantization
from evqa.errors import UserError
from evqa.export.checkpoint import Checkpoint, PlannedTensor, write_checkpoint
from evqa.export.merge import read_layout

GROUP_SIZES = (128, 64, 32)  # weights a scale; all that vLLM's kernels know
INT4_LEVELS_HALF = 7.5  # a symmetric range of 16 levels, -8..7
INT4_PER_INT32 = 8
FP8_E4M3_MAX = 448.0  # https://arxiv.org/abs/2209.05433, table 1
CLIPS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75)
PRESETS = {
    ExportQuantization.w4a16: ("W4A16", "pack-quantized"),
    ExportQuantization.fp8: ("FP8_DYNAMIC", "float-quantized"),
}


def quantize_checkpoint(
    merged: Path, output: Path, kind: ExportQuantization, max_shard_gib: float
) -> None:
    """Write a merged model's folder again with its linear layers quantised; the head is kept.

    Args:
        merged: A folder as `evqa.export.merge` writes it.
        output: An empty folder.
        kind: fp8 or w4a16.
        max_shard_gib: Largest safetensors file, GiB.

    Raises:
        UserError: no group size of the format divides the layers' widths.
    """
    if any(output.iterdir()):
        raise UserError(f"{output}: not empty; a version is written to a fresh folder")
    checkpoint = Checkpoint(merged)
    layout = read_layout(merged)
    linears = layout.linears.intersection(checkpoint.names())
    group_size = 0
    if kind is ExportQuantization.w4a16:
        group_size = pick_group_size(merged, {checkpoint.shape(name)[1] for name in linears})
    scheme = _scheme(kind, group_size)
    rounding = _Rounding(checkpoint, linears, kind, scheme, group_size)
    write_checkpoint(output, rounding.tensors(), int(max_shard_gib * 2**30))
    _copy_configs(merged, output)
    _write_quantization_config(output / "config.json", scheme, kind)


def pick_group_size(folder: Path, widths: set[int]) -> int:
    """Return the largest group size that divides every layer's input width.

    Raises:
        UserError: none does.
    """
    for size in GROUP_SIZES:
        if all(width % size == 0 for width in widths):
            return size
    odd = next(width for width in sorted(widths) if width % GROUP_SIZES[-1])
    raise UserError(
        f"export.quantization=w4a16: {folder} has a layer {odd} wide, which groups of "
        f"{GROUP_SIZES[-1]} weights do not divide; use fp8 or none"
    )


def int4_scales(weight: torch.Tensor, group_size: int, dtype: torch.dtype) -> torch.Tensor:
    """Return one scale a group (out x in / group_size) with the least squared rounding error.

    The scale is rounded to ``dtype``, as it is stored, before its error is taken.
    """
    groups = weight.float().reshape(len(weight), -1, group_size)  # out x groups x group_size
    full = groups.abs().amax(dim=-1).clamp(min=torch.finfo(torch.float16).tiny)
    best = torch.zeros_like(full)
    least = torch.full_like(full, torch.inf)
    for clip in CLIPS:
        scale = (full * clip / INT4_LEVELS_HALF).to(dtype).float()
        rounded = (groups / scale[..., None]).round_().clamp_(-8, 7).mul_(scale[..., None])
        error = rounded.sub_(groups).square_().sum(dim=-1)
        better = error < least
        best = torch.where(better, scale, best)
        least = torch.where(better, error, least)
    return best.to(dtype)


def fp8_scales(weight: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return one scale an output row (out x 1): its largest value becomes the format's."""
    largest = weight.float().abs().amax(dim=1, keepdim=True)
    return (largest / FP8_E4M3_MAX).clamp(min=torch.finfo(torch.float16).tiny).to(dtype)


@dataclass(slots=True)
class _Rounding:
    """The tensors of one quantised checkpoint, each made when it is written."""

    checkpoint: Checkpoint
    linears: frozenset[str]
    kind: ExportQuantization
    scheme: Any
    group_size: int
    scales: dict[str, torch.Tensor] = field(default_factory=dict)

    def tensors(self) -> Iterator[PlannedTensor]:
        """Yield every tensor of the quantised checkpoint."""
        for name in self.checkpoint.names():
            if name in self.linears:
                yield from self._quantized(name)
            else:
                tensor = self.checkpoint.tensor(name)
                make = partial(self.checkpoint.tensor, name)
                yield PlannedTensor(
                    name=name, shape=tuple(tensor.shape), dtype=tensor.dtype, make=make
                )

    def _quantized(self, name: str) -> Iterator[PlannedTensor]:
        rows, columns = self.checkpoint.shape(name)
        for part, (shape, dtype) in self._parts(rows, columns).items():
            yield PlannedTensor(
                name=name.removesuffix("weight") + part,
                shape=shape,
                dtype=dtype,
                make=partial(self._make, name, part),
            )

    def _parts(self, rows: int, columns: int) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
        if self.kind is ExportQuantization.fp8:
            return {
                "weight": ((rows, columns), torch.float8_e4m3fn),
                "weight_scale": ((rows, 1), torch.bfloat16),
            }
        return {
            "weight_packed": ((rows, columns // INT4_PER_INT32), torch.int32),
            "weight_scale": ((rows, columns // self.group_size), torch.bfloat16),
            "weight_shape": ((2,), torch.int64),
        }

    def _make(self, name: str, part: str) -> torch.Tensor:
        if part == "weight_shape":
            return torch.tensor(self.checkpoint.shape(name))
        if part == "weight_scale":
            return self._scale(name)
        weight = self.checkpoint.tensor(name).float()
        state = {"weight": weight, "weight_scale": self._scale(name).float()}
        return _compressor(self.kind).compress(state, self.scheme)[part]  # type: ignore[no-any-return]

    def _scale(self, name: str) -> torch.Tensor:
        if name not in self.scales:  # small: a 64th of the weights
            weight = self.checkpoint.tensor(name)
            self.scales[name] = (
                int4_scales(weight, self.group_size, torch.bfloat16)
                if self.kind is ExportQuantization.w4a16
                else fp8_scales(weight, torch.bfloat16)
            )
        return self.scales[name]


def _scheme(kind: ExportQuantization, group_size: int) -> Any:
    from compressed_tensors.quantization import preset_name_to_scheme

    scheme = preset_name_to_scheme(PRESETS[kind][0], ["Linear"])
    if kind is ExportQuantization.w4a16:
        scheme.weights.group_size = group_size
    return scheme


def _compressor(kind: ExportQuantization) -> Any:
    from compressed_tensors.compressors import BaseCompressor

    return BaseCompressor.get_value_from_registry(PRESETS[kind][1])


def _copy_configs(merged: Path, output: Path) -> None:
    for file in merged.iterdir():
        if file.suffix != ".safetensors" and not file.name.endswith(".index.json"):
            shutil.copyfile(file, output / file.name)


def _write_quantization_config(path: Path, scheme: Any, kind: ExportQuantization) -> None:
    from compressed_tensors.quantization import QuantizationConfig

    quantization = QuantizationConfig(
        config_groups={"group_0": scheme},
        ignore=["lm_head"],
        format=PRESETS[kind][1],
        quantization_status="compressed",
    )
    config = json.loads(path.read_text(encoding="utf-8"))
    config["quantization_config"] = json.loads(quantization.model_dump_json())
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
