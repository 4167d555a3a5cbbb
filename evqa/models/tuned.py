"""The fine-tuned model of a finished run: its base, loaded as it was trained, with its adapter."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evqa.config import TrainConfig, from_dict
from evqa.errors import UserError
from evqa.models.base import load
from evqa.models.locate import check_folder


@dataclass(frozen=True, slots=True)
class TunedModel:
    """A run's config, and the loaded model with its adapter and tokenizer."""

    config: TrainConfig
    model: Any
    tokenizer: Any


def load_tuned(run: Path, manifest: dict[str, Any]) -> TunedModel:
    """Load what a run has trained.

    Args:
        run: A run folder.
        manifest: Its ``manifest.json``.

    Raises:
        UserError: the base or the adapter is gone.
    """
    from evqa.models.load import load_adapter, load_tokenizer

    config = from_dict(TrainConfig, manifest["config"])
    folder = Path(manifest["base"]["path"])
    if not folder.is_dir():
        raise UserError(f"{run.name}: its base model {folder} is gone; train again, or restore it")
    accelerator = config.trainer.accelerator
    base = load(
        check_folder(folder), config.model, config.quantization, accelerator, config.memory
    )
    model = load_adapter(base.model, run / "adapter")
    return TunedModel(config, model, load_tokenizer(run / "adapter"))
