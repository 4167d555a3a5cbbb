"""What watches a training: random state, flight recorder, interruption, progress, tracker."""

import json
import random
import signal
import time
from pathlib import Path
from types import FrameType
from typing import Any

import lightning
import numpy as np
import psutil
import torch
from lightning.pytorch.callbacks import Callback

from evqa.errors import InterruptedRunError
from evqa.files import write_text
from evqa.progress import Bar
from evqa.tracking import Tracker
from evqa.training.module import TRAIN_LOSS, VALIDATION_LOSS, QLoRAModule

GIB = 2**30


class RandomState(Callback):
    """Puts the state of every random generator into checkpoints, and back on resuming."""

    def __init__(self) -> None:
        self._state: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        """Return the generators' states, as tensors and plain numbers."""
        version, words, gauss = random.getstate()
        kind, keys, position, has_gauss, cached = np.random.get_state()
        return {
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            "python": [version, list(words), gauss],
            "numpy": [
                kind,
                torch.tensor(np.asarray(keys).astype(np.int64)),
                position,
                has_gauss,
                cached,
            ],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Remember the states until training starts."""
        self._state = state_dict

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Restore the states, after everything that may have drawn numbers."""
        if self._state is None:
            return
        version, words, gauss = self._state["python"]
        random.setstate((version, tuple(words), gauss))
        kind, keys, position, has_gauss, cached = self._state["numpy"]
        keys = keys.numpy().astype(np.uint32)
        np.random.set_state((kind, keys, position, has_gauss, cached))
        torch.set_rng_state(self._state["torch"].cpu())
        if self._state["cuda"]:
            torch.cuda.set_rng_state_all([state.cpu() for state in self._state["cuda"]])
        self._state = None


def peak_memory_gib(device: torch.device) -> float:
    """Return the memory held now: reserved on a GPU, resident on a CPU (GiB)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device) / GIB
    return float(psutil.Process().memory_info().rss) / GIB


class FlightRecorder(Callback):
    """Writes a line a step into ``steps.jsonl`` and sends the same figures to the tracker.

    After resuming, lines of steps that will be made again are cut off, and the next line carries
    ``resumed_from_step``.
    """

    def __init__(self, path: Path, tracker: Tracker, every_n_steps: int) -> None:
        self.path = path
        self.tracker = tracker
        self.every_n_steps = every_n_steps
        self.peak_gib = 0.0
        self._ids: list[str] = []
        self._resumed_from: int | None = None
        self._last = (0.0, 0)

    def on_train_start(self, trainer: lightning.Trainer, pl_module: QLoRAModule) -> None:
        """Cut off what will be made again."""
        done = trainer.global_step
        if self.path.exists():
            lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True)
            whole = [line for line in lines if line.endswith("\n")]
            write_text(self.path, "".join(w for w in whole if json.loads(w)["step"] <= done))
        self._resumed_from = done or None
        self._last = (time.perf_counter(), pl_module.num_label_tokens)

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: QLoRAModule, batch: Any, batch_idx: int
    ) -> None:
        """Remember the samples of the step."""
        if batch_idx % trainer.accumulate_grad_batches == 0:
            self._ids = []
        self._ids.extend(batch["sample_ids"])
        self._step_before = trainer.global_step

    def on_before_optimizer_step(
        self, trainer: lightning.Trainer, pl_module: QLoRAModule, optimizer: Any
    ) -> None:
        """Measure the gradient before it is clipped."""
        gradients = [p.grad for p in pl_module.trainable().values() if p.grad is not None]
        norms = torch.stack([gradient.detach().norm() for gradient in gradients])
        self._gradient_norm = float(norms.norm())

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
        line = self._line(trainer, pl_module)
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
        if trainer.global_step % self.every_n_steps == 0:
            figures = ("gradient_norm", "lr", "label_tokens_per_s", "memory_gib")
            values = {TRAIN_LOSS: line["loss"], **{f"train/{k}": line[k] for k in figures}}
            self.tracker.metrics(values, trainer.global_step)

    def _line(self, trainer: lightning.Trainer, module: QLoRAModule) -> dict[str, Any]:
        before, tokens_before = self._last
        self._last = (time.perf_counter(), module.num_label_tokens)
        seconds = self._last[0] - before
        memory_gib = peak_memory_gib(module.device)
        self.peak_gib = max(self.peak_gib, memory_gib)
        line: dict[str, Any] = {
            "step": trainer.global_step,
            "epoch": trainer.current_epoch,
            "loss": module.last_step_loss,
            "gradient_norm": self._gradient_norm,
            "lr": trainer.optimizers[0].param_groups[0]["lr"],
            "label_tokens_per_s": round((module.num_label_tokens - tokens_before) / seconds, 2),
            "memory_gib": round(memory_gib, 4),
            "sample_ids": self._ids,
        }
        if self._resumed_from is not None:
            line["resumed_from_step"], self._resumed_from = self._resumed_from, None
        return line

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: QLoRAModule) -> None:
        """Send the validation loss to the tracker."""
        value = trainer.callback_metrics.get(VALIDATION_LOSS)
        if value is not None and not trainer.sanity_checking:
            self.tracker.metrics({VALIDATION_LOSS: float(value)}, trainer.global_step)


class GracefulStop(Callback):
    """Turns Ctrl-C and SIGTERM into a checkpoint at the next step; a second one ends at once."""

    def __init__(self, checkpoint: Path, resume_hint: str) -> None:
        self.checkpoint = checkpoint
        self.resume_hint = resume_hint
        self._signum: int | None = None
        self._old: dict[int, Any] = {}

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Take over the signals."""
        for signum in (signal.SIGINT, signal.SIGTERM):
            self._old[signum] = signal.signal(signum, self._receive)

    def _receive(self, signum: int, _frame: FrameType | None) -> None:
        if self._signum is not None:
            raise InterruptedRunError(f"stopped at once; {self.resume_hint}", signum)
        self._signum = signum

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Between two steps: save and stop when a signal has come."""
        at_boundary = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if self._signum is None or not at_boundary:
            return
        trainer.save_checkpoint(self.checkpoint)
        raise InterruptedRunError(
            f"interrupted after step {trainer.global_step}; {self.resume_hint}", self._signum
        )

    def teardown(self, trainer: lightning.Trainer, pl_module: Any, stage: str) -> None:
        """Give the signals back."""
        for signum, handler in self._old.items():
            signal.signal(signum, handler)
        self._old = {}


class StepProgress(Callback):
    """A bar over optimiser steps with loss, label tokens a second and memory."""

    def __init__(self) -> None:
        self._bar: Bar | None = None
        self._started = 0.0

    def on_train_start(self, trainer: lightning.Trainer, pl_module: QLoRAModule) -> None:
        """Open the bar where the run stands."""
        self._bar = Bar("training the adapter", pl_module.num_steps)
        self._bar.at(trainer.global_step, pl_module.num_steps)
        self._started = time.perf_counter()
        self._tokens_before = pl_module.num_label_tokens

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move the bar after a step."""
        if self._bar is None or (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        seconds = time.perf_counter() - self._started
        rate = (pl_module.num_label_tokens - self._tokens_before) / seconds
        note = f"loss {pl_module.last_step_loss:.3f}, {rate:.0f} label tokens/s"
        value = trainer.callback_metrics.get(VALIDATION_LOSS)
        if value is not None:
            note += f", validation {float(value):.3f}"
        memory_gib = peak_memory_gib(pl_module.device)
        self._bar.at(trainer.global_step, pl_module.num_steps, f"{note}, {memory_gib:.2f} GiB")

    def teardown(self, trainer: lightning.Trainer, pl_module: Any, stage: str) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
