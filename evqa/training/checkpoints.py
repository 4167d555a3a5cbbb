"""Checkpoint files: adapter only, atomic, room checked first, positions rescaled."""

import os
import shutil
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint

from evqa.config.training import CallbacksConfig
from evqa.errors import DiskFullError
from evqa.training.module import VALIDATION_LOSS

LAST = "last.ckpt"
BEST = "best.ckpt"
STATES_A_WEIGHT = 3  # the weight itself and AdamW's two moments, the largest optimiser state
GIB = 2**30
Progress = dict[str, dict[str, int]]


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoint files, written so that a kill leaves the old one or the new one."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write beside the file, sync, and move into place."""
        write_checkpoint(checkpoint, Path(path))


def write_checkpoint(checkpoint: dict[str, Any], final: Path) -> None:
    """Write a checkpoint atomically."""
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = final.with_name(f".{final.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as stream:
            torch.save(checkpoint, stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, final)  # noqa: PTH105  tests hook it to simulate a crash
    finally:
        temporary.unlink(missing_ok=True)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint that a run has written."""
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=False)  # nosec B614  written by this run
    return state


def last_checkpoint(folder: Path, every_n_steps: int) -> ModelCheckpoint:
    """Return the callback that keeps the newest step."""
    return ModelCheckpoint(
        dirpath=folder,
        filename=LAST.removesuffix(".ckpt"),
        every_n_train_steps=every_n_steps,
        save_top_k=1,
        enable_version_counter=False,
    )


def best_checkpoints(folder: Path, count: int) -> ModelCheckpoint:
    """Return the callback that keeps the ``count`` lowest validation losses."""
    name = BEST.removesuffix(".ckpt")
    return ModelCheckpoint(
        dirpath=folder,
        filename=name if count == 1 else name + "-{step}",
        monitor=VALIDATION_LOSS,
        save_top_k=count,
        enable_version_counter=False,
        save_on_train_epoch_end=False,
    )


def check_disk(folder: Path, num_trainable: int, callbacks: CallbacksConfig) -> None:
    """Refuse a training whose checkpoints would not find room.

    Args:
        folder: Where they go; exists.
        num_trainable: Weights that are trained.
        callbacks: How many are kept.

    Raises:
        DiskFullError: naming what is needed and what is free.
    """
    one = num_trainable * 4 * STATES_A_WEIGHT
    # last and best ones, one more while it is written, and the adapter itself
    needed = one * (callbacks.keep_best_checkpoints + 2) + num_trainable * 4
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DiskFullError(
            f"disk full: checkpoints take {needed / GIB:.2f} GiB, but {folder} has "
            f"{free / GIB:.2f} GiB free; make room, or set paths.outputs_dir to a larger disk"
        )


def rescale_progress(checkpoint: dict[str, Any], accumulation: int) -> None:
    """Let a checkpoint go on with windows that are cut into ``accumulation`` micro-batches.

    Positions count micro-batches; they are rounded down to whole windows, so a step that was
    under way starts again. Changes ``checkpoint``.
    """
    loop = checkpoint["loops"]["fit_loop"]
    loader = loop["state_dict"]["combined_loader"][0]
    old = loader["accumulation"]
    progress: Progress = loop["epoch_loop.batch_progress"]
    # What was handed out is ready; a micro-batch that memory ran out in was not processed.
    for kind in ("total", "current"):
        done = progress[kind]["processed"] // old * accumulation
        progress[kind] = dict.fromkeys(progress[kind], done)
    loader["position"] = progress["current"]["processed"]
    loader["accumulation"] = accumulation
