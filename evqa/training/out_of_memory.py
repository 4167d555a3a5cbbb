"""When memory runs out all the same: halve the micro-batch, or stop with the planner's list."""

import gc
import sys
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback

from evqa.architectures import Architecture
from evqa.config.jobs import TrainConfig
from evqa.config.training import OnOutOfMemory, TrainerConfig
from evqa.errors import MemoryExhaustedError
from evqa.memory.budget import smaller_changes
from evqa.training.checkpoints import LAST, read_checkpoint, rescale_progress, write_checkpoint

HOST_WORDS = ("can't allocate memory", "not enough memory", "Cannot allocate memory")
MAX_LISTED_CHANGES = 3


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that the device or the host has no memory left."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in HOST_WORDS)


class SaveOnOutOfMemory(Callback):
    """Writes ``last.ckpt`` when memory runs out: the weights are those of the last step."""

    def __init__(self, checkpoint: Path) -> None:
        self.checkpoint = checkpoint

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: Any, exception: BaseException
    ) -> None:
        """Save when the exception is about memory and a step has been made."""
        if is_out_of_memory(exception) and trainer.global_step > 0:
            trainer.save_checkpoint(self.checkpoint)


def halve(config: TrainConfig, model: Any, folder: Path, error: BaseException) -> None:
    """Make ready for another attempt with half the micro-batch and twice the accumulation.

    Changes ``config.trainer`` and ``last.ckpt``.

    Raises:
        MemoryExhaustedError: halving is not wanted, or there is nothing left to halve.
    """
    plan = config.trainer
    if plan.on_out_of_memory is OnOutOfMemory.stop or plan.micro_batch_size % 2:
        raise exhausted(config, model, folder, error) from None
    before = plan.micro_batch_size
    plan.micro_batch_size //= 2
    for parameter in model.parameters():
        parameter.grad = None
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    last = folder / "checkpoints" / LAST
    if last.exists():
        checkpoint = read_checkpoint(last)
        rescale_progress(checkpoint, plan.accumulation)
        write_checkpoint(checkpoint, last)
    sys.stderr.write(
        f"out of memory with trainer.micro_batch_size={before}; going on from the last step with "
        f"{plan.micro_batch_size}, {plan.accumulation} of them a step\n"
    )


def exhausted(
    config: TrainConfig, model: Any, folder: Path, error: BaseException
) -> MemoryExhaustedError:
    """Return the error that ends the run, with what the planner would change."""
    shape = Architecture.from_json(model.get_base_model().config.to_dict())
    changes = smaller_changes(config, shape)[:MAX_LISTED_CHANGES]
    listed = " or ".join(f"{c['override']} ({c['peak_gib']:.2f} GiB)" for c in changes)
    way_out = f"try {listed}" if listed else "take a smaller model"
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    size = config.trainer.micro_batch_size
    return MemoryExhaustedError(
        f"out of memory with trainer.micro_batch_size={size} in {folder.name} ({reason}); "
        f"{way_out}"
    )


def restored_plan(folder: Path, plan: TrainerConfig) -> None:
    """Take over the micro-batch that an earlier attempt of this run was halved to.

    Changes ``plan``: a run that is resumed goes on as it was cut last.
    """
    last = folder / "checkpoints" / LAST
    if plan.on_out_of_memory is OnOutOfMemory.stop or not last.exists():
        return
    loaders = read_checkpoint(last)["loops"]["fit_loop"]["state_dict"]["combined_loader"]
    accumulation = int(loaders[0]["accumulation"])
    plan.micro_batch_size = plan.effective_batch_size // (accumulation * plan.num_devices)
