"""What watches a training: random state, interruption, progress (the recorder is apart)."""

import random
import signal
import time
from pathlib import Path
from types import FrameType
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback

from evqa.errors import InterruptedRunError
from evqa.progress import Bar
from evqa.training.module import VALIDATION_LOSS, QLoRAModule
from evqa.training.recorder import memory_gib


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
    """A bar over optimiser steps with loss, tokens a second, memory and the time left."""

    def __init__(self) -> None:
        self._bar: Bar | None = None
        self._started = 0.0

    def on_train_start(self, trainer: lightning.Trainer, pl_module: QLoRAModule) -> None:
        """Open the bar where the run stands."""
        self._bar = Bar("training the adapter", pl_module.num_steps)
        self._bar.at(trainer.global_step, pl_module.num_steps)
        self._started = time.perf_counter()
        self._first_step = trainer.global_step
        self._tokens = 0

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move the bar after a step."""
        if self._bar is None or (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        seconds = time.perf_counter() - self._started
        self._tokens += pl_module.tally.num_tokens
        done = trainer.global_step - self._first_step
        left_s = seconds / max(1, done) * (pl_module.num_steps - trainer.global_step)
        note = f"loss {pl_module.tally.loss:.3f}, {self._tokens / seconds:.0f} tokens/s"
        value = trainer.callback_metrics.get(VALIDATION_LOSS)
        if value is not None:
            note += f", validation {float(value):.3f}"
        note += f", {memory_gib(pl_module.device):.2f} GiB, {left_s:.0f} s left"
        self._bar.at(trainer.global_step, pl_module.num_steps, note)

    def teardown(self, trainer: lightning.Trainer, pl_module: Any, stage: str) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
