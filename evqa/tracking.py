"""The experiment tracker, wrapped so that logging never fails a run.

``Tracker`` is what the rest of evqa talks to. Behind it stands Aim, one of Lightning's loggers,
or nothing. The first failure of any of them is said once on stderr; after that the tracker is
silent and the run goes on.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from evqa.config.training import LoggerConfig, LoggerKind
from evqa.errors import UserError
from evqa.files import folder_lock

PACKAGES = {
    LoggerKind.tensorboard: "tensorboard",
    LoggerKind.mlflow: "mlflow",
    LoggerKind.wandb: "wandb",
    LoggerKind.aim: "aim",
}


class Backend(Protocol):
    """What a tracker must be able to do."""

    @property
    def run_id(self) -> str | None:
        """The name under which the run can be reopened."""

    def params(self, values: dict[str, Any]) -> None:
        """Record hyperparameters and provenance."""

    def metrics(self, values: Mapping[str, float], step: int, context: dict[str, str]) -> None:
        """Record figures of a step."""

    def text(self, name: str, text: str, step: int) -> None:
        """Record a text."""

    def image(self, name: str, png: bytes, caption: str) -> None:
        """Record a picture."""

    def close(self) -> None:
        """Write everything out."""


class AimBackend:
    """An Aim run in ``<outputs_dir>/.aim``; ``aim up --repo outputs`` shows it."""

    def __init__(
        self, config: LoggerConfig, outputs_dir: Path, name: str, run_id: str | None
    ) -> None:
        from aim import Run

        with folder_lock(outputs_dir):  # a repository that two make at once is one that none opens
            self._run = Run(
                run_hash=run_id,
                repo=str(outputs_dir),
                experiment=config.experiment,
                system_tracking_interval=config.system_interval_s,
                capture_terminal_logs=False,
                log_system_params=False,
            )
        self._run.name = name

    @property
    def run_id(self) -> str | None:
        """The run's hash."""
        return str(self._run.hash)

    def params(self, values: dict[str, Any]) -> None:
        """Record nested values under ``hparams`` and the like."""
        for name, value in values.items():
            self._run[name] = value

    def metrics(self, values: Mapping[str, float], step: int, context: dict[str, str]) -> None:
        """Track each figure as a sequence."""
        for name, value in values.items():
            self._run.track(value, name=name, step=step, context=context)

    def text(self, name: str, text: str, step: int) -> None:
        """Track an Aim Text."""
        from aim import Text

        self._run.track(Text(text), name=name, step=step)

    def image(self, name: str, png: bytes, caption: str) -> None:
        """Track an Aim Image."""
        from io import BytesIO

        from aim import Image
        from PIL import Image as Pillow

        self._run.track(Image(Pillow.open(BytesIO(png)), caption=caption), name=name, step=0)

    def close(self) -> None:
        """Close the run; touching it afterwards would reopen it."""
        self._run.close()


class LightningBackend:
    """One of Lightning's loggers."""

    def __init__(self, logger: Any) -> None:
        self._logger = logger

    @property
    def run_id(self) -> str | None:
        """The logger's version."""
        return str(self._logger.version)

    def params(self, values: dict[str, Any]) -> None:
        """Record hyperparameters."""
        self._logger.log_hyperparams(values)

    def metrics(self, values: Mapping[str, float], step: int, context: dict[str, str]) -> None:
        """Record figures; the context becomes part of the name."""
        suffix = "".join(f"/{word}" for word in context.values())
        self._logger.log_metrics({f"{name}{suffix}": v for name, v in values.items()}, step)

    def text(self, name: str, text: str, step: int) -> None:
        """Record a text where the logger can."""
        if hasattr(self._logger.experiment, "add_text"):
            self._logger.experiment.add_text(name, text, step)

    def image(self, name: str, png: bytes, caption: str) -> None:
        """Record a picture where the logger can."""
        import io

        import numpy as np
        from PIL import Image as Pillow

        if hasattr(self._logger.experiment, "add_image"):
            pixels = np.asarray(Pillow.open(io.BytesIO(png)).convert("RGB"))
            self._logger.experiment.add_image(f"{name}: {caption}", pixels, dataformats="HWC")

    def close(self) -> None:
        """Write everything out."""
        self._logger.save()
        self._logger.finalize("success")


def build_tracker(
    config: LoggerConfig, outputs_dir: Path, folder: Path, run_id: str | None = None
) -> "Tracker":
    """Open the tracker that ``logger=`` asks for.

    Args:
        config: Which one.
        outputs_dir: Holds the Aim repository.
        folder: The run folder; csv and tensorboard write there.
        run_id: Reopens this run.

    Raises:
        UserError: the package is not installed.
    """
    if config.kind is LoggerKind.none:
        return Tracker(None)
    require(config.kind)
    return Tracker(lambda: _open(config, outputs_dir, folder, run_id))


def require(kind: LoggerKind) -> None:
    """Refuse a tracker whose package is absent.

    Raises:
        UserError: saying what to install.
    """
    import importlib.util

    package = PACKAGES.get(kind)
    if package and importlib.util.find_spec(package) is None:
        raise UserError(
            f"logger={kind}: the package {package} is not installed; "
            f"pip install {package}, or choose logger=aim or logger=csv"
        )


def _open(config: LoggerConfig, outputs_dir: Path, folder: Path, run_id: str | None) -> Backend:
    if config.kind is LoggerKind.aim:
        return AimBackend(config, outputs_dir, folder.name, run_id)
    from lightning.pytorch import loggers

    if config.kind is LoggerKind.csv:
        return LightningBackend(loggers.CSVLogger(folder, name="", version=""))
    if config.kind is LoggerKind.tensorboard:
        return LightningBackend(loggers.TensorBoardLogger(folder, name="", version=""))
    if config.kind is LoggerKind.mlflow:
        uri = config.tracking_uri or f"file:{outputs_dir / 'mlruns'}"
        return LightningBackend(
            loggers.MLFlowLogger(config.experiment, folder.name, uri, run_id=run_id)
        )
    return LightningBackend(
        loggers.WandbLogger(folder.name, str(folder), project=config.experiment, id=run_id)
    )


class Tracker:
    """Forwards to a backend and survives its failures.

    Args:
        open_backend: Opens the backend, or None for no tracking.
    """

    def __init__(self, open_backend: Callable[[], Backend] | None) -> None:
        self._backend: Backend | None = None
        self.failure: str | None = None
        if open_backend is not None:
            self._try(lambda: setattr(self, "_backend", open_backend()))

    def _try(self, action: Callable[[], Any]) -> Any:
        if self.failure is not None:
            return None
        try:
            return action()
        except Exception as error:  # noqa: BLE001  whatever a tracker does, the run goes on
            line = str(error).splitlines()[0] if str(error) else ""
            self.failure = f"{type(error).__name__}: {line}"
            sys.stderr.write(f"warning: tracking stopped, the run goes on ({self.failure})\n")
            return None

    @property
    def run_id(self) -> str | None:
        """The name under which the run can be reopened, if it is tracked."""
        backend = self._backend
        return self._try(lambda: backend.run_id) if backend else None

    def params(self, values: dict[str, Any]) -> None:
        """Record hyperparameters and provenance."""
        if backend := self._backend:
            self._try(lambda: backend.params(values))

    def metrics(
        self, values: Mapping[str, float], step: int, context: dict[str, str] | None = None
    ) -> None:
        """Record figures of a step."""
        if backend := self._backend:
            self._try(lambda: backend.metrics(values, step, context or {}))

    def text(self, name: str, text: str, step: int = 0) -> None:
        """Record a text."""
        if backend := self._backend:
            self._try(lambda: backend.text(name, text, step))

    def image(self, name: str, png: bytes, caption: str = "") -> None:
        """Record a picture (PNG)."""
        if backend := self._backend:
            self._try(lambda: backend.image(name, png, caption))

    def close(self) -> None:
        """Write everything out; the tracker is silent afterwards."""
        if self._backend:
            self._try(self._backend.close)
        self._backend = None
