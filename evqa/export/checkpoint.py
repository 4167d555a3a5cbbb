"""Checkpoints read and written one tensor at a time, so that memory does not grow with the model.

The safetensors library writes a file from tensors that are all in memory, twice over while it
serialises; here the header is written first and each tensor's bytes follow as they are made
(format: https://github.com/huggingface/safetensors, section Format).
"""

import json
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch

from evqa.errors import UserError
from evqa.files import read_json

SAFETENSORS_DTYPES = {
    torch.float32: "F32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.int64: "I64",
    torch.int32: "I32",
}
HEADER_ALIGNMENT_BYTES = 8


class Checkpoint:
    """The weights in a model's folder; a tensor is read when it is asked for, and not kept.

    Raises:
        UserError: when the folder has no safetensors file, or an index names one that is gone.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files = _weight_map(folder)
        for file in sorted(set(self._files.values())):
            if not (folder / file).is_file():
                raise UserError(f"{folder}: {file} is missing; the model is incomplete")

    def names(self) -> list[str]:
        """Return the tensors' names, in the order of the files."""
        return list(self._files)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return a tensor's shape without reading it."""
        with _opened(self.folder / self._files[name]) as file:
            return tuple(file.get_slice(name).get_shape())

    def tensor(self, name: str) -> torch.Tensor:
        """Read one tensor; the file is unmapped again, so its pages do not stay resident."""
        with _opened(self.folder / self._files[name]) as file:
            tensor: torch.Tensor = file.get_tensor(name)
            return tensor.clone()


def _weight_map(folder: Path) -> dict[str, str]:
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        return dict(read_json(index)["weight_map"])
    single = folder / "model.safetensors"
    if not single.is_file():
        raise UserError(
            f"{folder}: no model.safetensors there; load the model with transformers and save it "
            "again (save_pretrained writes safetensors)"
        )
    with _opened(single) as file:
        return dict.fromkeys(file.keys(), single.name)


def _opened(path: Path) -> Any:
    from safetensors import SafetensorError, safe_open

    try:
        return safe_open(path, framework="pt")
    except SafetensorError as error:
        raise UserError(f"{path}: not a safetensors file ({error})") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedTensor:
    """A tensor to be written: its type and shape are known before it is made."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    make: Callable[[], torch.Tensor]

    @property
    def size_bytes(self) -> int:
        """What it takes in the file."""
        return self.dtype.itemsize * int(torch.Size(self.shape).numel())


def write_checkpoint(
    folder: Path, tensors: Iterable[PlannedTensor], max_shard_bytes: int
) -> list[Path]:
    """Write ``model.safetensors``, or shards with their index, making one tensor at a time.

    Returns:
        The files with weights.
    """
    shards = list(_shards(tensors, max_shard_bytes))
    weight_map: dict[str, str] = {}
    paths = []
    for number, shard in enumerate(shards, start=1):
        name = (
            f"model-{number:05d}-of-{len(shards):05d}.safetensors"
            if len(shards) > 1
            else "model.safetensors"
        )
        _write_shard(folder / name, shard)
        paths.append(folder / name)
        weight_map.update(dict.fromkeys((tensor.name for tensor in shard), name))
    if len(shards) > 1:
        total = sum(tensor.size_bytes for shard in shards for tensor in shard)
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")
    return paths


def _shards(
    tensors: Iterable[PlannedTensor], max_shard_bytes: int
) -> Iterator[list[PlannedTensor]]:
    """Fill shards in order; a tensor larger than a shard gets one of its own."""
    shard: list[PlannedTensor] = []
    filled = 0
    for tensor in tensors:
        if shard and filled + tensor.size_bytes > max_shard_bytes:
            yield shard
            shard, filled = [], 0
        shard.append(tensor)
        filled += tensor.size_bytes
    if shard:
        yield shard


def _write_shard(path: Path, shard: list[PlannedTensor]) -> None:
    ordered = sorted(shard, key=lambda tensor: (-tensor.dtype.itemsize, tensor.name))  # aligned
    with path.open("wb") as stream:
        stream.write(_header(ordered))
        for planned in ordered:
            _write_tensor(stream, planned)


def _header(tensors: list[PlannedTensor]) -> bytes:
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    start = 0
    for tensor in tensors:
        end = start + tensor.size_bytes
        entries[tensor.name] = {
            "dtype": SAFETENSORS_DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
        start = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % HEADER_ALIGNMENT_BYTES)
    return struct.pack("<Q", len(text)) + text


def _write_tensor(stream: IO[bytes], planned: PlannedTensor) -> None:
    tensor = planned.make()
    if tuple(tensor.shape) != planned.shape or tensor.dtype != planned.dtype:
        raise AssertionError(f"{planned.name}: planned {planned.shape} {planned.dtype}")
    stream.write(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
