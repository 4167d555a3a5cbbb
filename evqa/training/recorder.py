"""The flight recorder: a line a step, and the samples behind a loss that jumps or breaks."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import lightning
import psutil
import torch
from lightning.pytorch.callbacks import Callback

from evqa.config.training import CallbacksConfig
from evqa.errors import UserError
from evqa.files import write_text
from evqa.tracking import Tracker
from evqa.training.module import (
    TRAIN_LOSS,
    VALIDATION_LOSS,
    QLoRAModule,
    of_all_devices,
    show_command,
)

GIB = 2**30
STEPS = "steps.jsonl"
INCIDENTS = "incidents.jsonl"
VALIDATIONS = "validations.jsonl"  # a sweep prunes by them
MEMORY = 0.9  # of the running mean loss, a step
MIN_STEPS_BEFORE_SPIKES = 10
MAX_BLAMED_SAMPLES = 4


def memory_gib(device: torch.device) -> float:
    """Return the memory held: the most reserved so far on a GPU, resident now on a CPU (GiB)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device) / GIB
    return float(psutil.Process().memory_info().rss) / GIB


class FlightRecorder(Callback):
    """Writes a line a step into ``steps.jsonl`` and sends the same figures to the tracker.

    After resuming, lines of steps that will be made again are cut off, and the next line carries
    ``resumed_from_step``. A loss over ``callbacks.spike_factor`` times its running mean is one
    more line in ``incidents.jsonl`` and one on stderr, with the samples that are worst.

    Args:
        folder: The run folder.
        tracker: Gets every n-th step's figures.
        settings: How often, and what a spike is.
    """

    def __init__(self, folder: Path, tracker: Tracker, settings: CallbacksConfig) -> None:
        self.folder = folder
        self.path = folder / STEPS
        self.tracker = tracker
        self.settings = settings
        self.peak_gib = 0.0
        self.tokens_per_s = 0.0
        self._resumed_from: int | None = None
        self._started = self._last = 0.0
        self._tokens = 0
        self._mean = 0.0
        self._num_seen = 0
        self._gradient_norm = 0.0

    def state_dict(self) -> dict[str, Any]:
        """Return the running mean that spikes are measured by."""
        return {"mean": self._mean, "num_seen": self._num_seen}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the running mean."""
        self._mean, self._num_seen = state_dict["mean"], state_dict["num_seen"]

    def on_train_start(self, trainer: lightning.Trainer, pl_module: QLoRAModule) -> None:
        """Cut off what will be made again."""
        done = trainer.global_step
        if trainer.is_global_zero:
            for file in (self.path, self.folder / INCIDENTS, self.folder / VALIDATIONS):
                cut_off(file, done)
        self._resumed_from = done or None
        self._started = self._last = time.perf_counter()

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: QLoRAModule, batch: Any, batch_idx: int
    ) -> None:
        """Remember where the step began."""
        self._step_before = trainer.global_step

    def on_before_optimizer_step(
        self, trainer: lightning.Trainer, pl_module: QLoRAModule, optimizer: Any
    ) -> None:
        """Measure the gradient before it is clipped.

        Raises:
            UserError: it is NaN or infinite although the loss is not (with loss scaling, which
                skips such steps by itself, it may be).
        """
        gradients = [p.grad for p in pl_module.trainable().values() if p.grad is not None]
        norms = torch.stack([gradient.detach().float().norm() for gradient in gradients])
        self._gradient_norm = float(norms.norm())
        scaled = getattr(trainer.precision_plugin, "scaler", None) is not None
        if not torch.isfinite(norms).all() and not scaled:
            step = trainer.global_step
            self._incident("gradient", step + 1, pl_module)
            raise UserError(
                f"the gradient is not finite at step {step}; lower optimizer.lr="
                f"{pl_module.optimizer_config.lr:g}, or look at its samples: "
                f"{show_command(self.folder, step + 1)}"
            )

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: QLoRAModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Write the line of a finished step."""
        if trainer.global_step == self._step_before:
            return
        if trainer.world_size > 1:
            pl_module.tally = of_all_devices(pl_module.tally)
        line = self._line(trainer, pl_module)
        if not trainer.is_global_zero:
            return
        append(self.path, line)
        self._watch(trainer.global_step, line["loss"], pl_module)
        if trainer.global_step % self.settings.log_every_n_steps == 0:
            figures = ("gradient_norm", "lr", "tokens_per_s", "label_tokens_per_s", "memory_gib")
            values = {TRAIN_LOSS: line["loss"], **{f"train/{k}": line[k] for k in figures}}
            self.tracker.metrics(values, trainer.global_step)

    def _line(self, trainer: lightning.Trainer, module: QLoRAModule) -> dict[str, Any]:
        tally = module.tally
        now = time.perf_counter()
        seconds, self._last = now - self._last, now
        self._tokens += tally.num_tokens
        self.tokens_per_s = self._tokens / (now - self._started)
        held_gib = memory_gib(module.device)
        self.peak_gib = max(self.peak_gib, held_gib)
        line: dict[str, Any] = {
            "step": trainer.global_step,
            "epoch": trainer.current_epoch,
            "loss": tally.loss,
            "gradient_norm": self._gradient_norm,
            "lr": trainer.optimizers[0].param_groups[0]["lr"],
            "tokens_per_s": round(tally.num_tokens / seconds, 2),
            "label_tokens_per_s": round(tally.num_label_tokens / seconds, 2),
            "num_tokens": tally.num_tokens,
            "num_padding_tokens": tally.num_slots - tally.num_tokens,
            "memory_gib": round(held_gib, 4),
            "sample_ids": tally.sample_ids,
            "sample_losses": [round(value, 4) for value in tally.sample_losses],
        }
        if self._resumed_from is not None:
            line["resumed_from_step"], self._resumed_from = self._resumed_from, None
        return line

    def _watch(self, step: int, loss: float, module: QLoRAModule) -> None:
        ready = self._num_seen >= MIN_STEPS_BEFORE_SPIKES
        if ready and loss > self.settings.spike_factor * self._mean:
            self._incident("spike", step, module)
            sys.stderr.write(
                f"loss {loss:.3f} at step {step}, {loss / self._mean:.1f} times the running mean; "
                f"its samples: {show_command(self.folder, step)}\n"
            )
        kept = MEMORY if self._num_seen else 0.0
        self._mean = kept * self._mean + (1 - kept) * loss
        self._num_seen += 1

    def _incident(self, kind: str, step: int, module: QLoRAModule) -> None:
        tally = module.tally
        pairs = list(zip(tally.sample_losses, tally.sample_ids, strict=False))
        # NaN is not smaller than anything: such samples come first.
        worst = sorted(pairs, key=lambda pair: (pair[0] == pair[0], -pair[0]))
        entry = {
            "step": step,
            "kind": kind,
            "loss": tally.loss,
            "running_mean": self._mean,
            "gradient_norm": self._gradient_norm,
            "worst_samples": [name for _loss, name in worst[:MAX_BLAMED_SAMPLES]],
            "command": show_command(self.folder, step),
        }
        append(self.folder / INCIDENTS, entry)

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: QLoRAModule, exception: BaseException
    ) -> None:
        """Leave a line about a step that ended in NaN."""
        loss = pl_module.tally.loss
        if loss != loss and trainer.is_global_zero:
            self._incident("nan", trainer.global_step + 1, pl_module)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: QLoRAModule) -> None:
        """Send the validation loss to the tracker."""
        self.peak_gib = max(self.peak_gib, memory_gib(pl_module.device))
        value = trainer.callback_metrics.get(VALIDATION_LOSS)
        if value is not None and not trainer.sanity_checking and trainer.is_global_zero:
            line = {"step": trainer.global_step, "validation_loss": float(value)}
            append(self.folder / VALIDATIONS, line)
            self.tracker.metrics({VALIDATION_LOSS: float(value)}, trainer.global_step)


def append(path: Path, line: dict[str, Any]) -> None:
    """Add one JSON line to a file."""
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line) + "\n")


def cut_off(path: Path, done: int) -> None:
    """Remove the lines of steps after ``done`` and a line that a kill left unfinished."""
    if not path.exists():
        return
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    whole = [line for line in lines if line.endswith("\n")]
    write_text(path, "".join(line for line in whole if json.loads(line)["step"] <= done))
