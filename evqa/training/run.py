"""The life of a run folder: locked, its manifest first, ``latest`` moved when it has finished."""

import dataclasses
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evqa.config import TrainConfig, project_dir, to_dict
from evqa.config.training import MemoryConfig
from evqa.errors import UserError
from evqa.files import folder_lock, point_link, write_json
from evqa.provenance import new_manifest, now, update_manifest

GIB = 2**30


@contextmanager
def open_run(config: TrainConfig, folder: Path) -> Iterator[Path]:
    """Hold a run folder while the run lasts; the manifest is there before anything else.

    Raises:
        UserError: another process is training in this folder.
    """
    try:
        with folder_lock(folder, wait=False):
            if not (folder / "manifest.json").exists():
                manifest = new_manifest("train", training_config(config), project_dir())
                write_json(folder / "manifest.json", manifest)
            yield folder
    except BlockingIOError:
        raise UserError(f"{folder}: another process is training in this run folder") from None


def training_config(config: TrainConfig) -> dict[str, Any]:
    """Return what a training needs to be run again; a pipeline's config holds more than that."""
    values = to_dict(config)
    return {field.name: values[field.name] for field in dataclasses.fields(TrainConfig)}


def finish_run(folder: Path, **values: Any) -> None:
    """Mark the run as finished and point ``latest`` at it."""
    update_manifest(folder, finished=True, finished_at=now(), **values)
    point_link(folder.parent / "latest", folder)


def prepare_process(seed: int, num_threads: int) -> None:
    """Seed every generator and set the number of CPU threads, before the adapter is drawn."""
    import lightning
    import torch

    # Rows without padding have many widths, and oneDNN keeps its code for the last 1024 shapes:
    # on a small model that is more memory than the model (measured: 0.3 GiB less with 128).
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "128")
    if num_threads:
        torch.set_num_threads(num_threads)
    lightning.seed_everything(seed, workers=True, verbose=False)
    sys.stderr.flush()


def cap_gpu_memory(memory: MemoryConfig, accelerator: str) -> None:
    """Let PyTorch take no more of a GPU than the budget leaves after the CUDA context."""
    import torch

    if memory.budget_gib is None or accelerator == "cpu" or not torch.cuda.is_available():
        return
    total_gib = torch.cuda.get_device_properties(0).total_memory / GIB
    allowed_gib = memory.budget_gib - memory.context_gib
    torch.cuda.set_per_process_memory_fraction(min(1.0, max(0.01, allowed_gib / total_gib)))
