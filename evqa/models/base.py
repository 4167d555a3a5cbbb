"""The base model of a run: found or made, loaded with its tokenizer, ready for an adapter."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evqa.config.model import ModelConfig, QuantizationConfig
from evqa.models.locate import locate
from evqa.progress import progress


@dataclass(frozen=True, slots=True)
class LoadedBase:
    """A frozen base model and its tokenizer, chat template prepared."""

    model: Any
    tokenizer: Any


def base_folder(
    model: ModelConfig, read_texts: Callable[[], Sequence[str]], cache_dir: Path
) -> Path:
    """Return the local folder of the base; the embedded one is made from texts when needed.

    Args:
        model: Which base.
        read_texts: Gives the training documents, for model=tiny only.
        cache_dir: Where made models are kept.
    """
    if not model.pretrain.enabled:
        return locate(model)
    from evqa.models.tiny import ensure_tiny

    with progress("pre-training the embedded base") as bar:
        return ensure_tiny(
            model,
            read_texts(),
            cache_dir,
            lambda step, steps, loss: bar.at(step, steps, f"loss {loss:.2f}"),
        )


def load(
    folder: Path, model: ModelConfig, quantization: QuantizationConfig, accelerator: str
) -> LoadedBase:
    """Load the base and its tokenizer for training or inference.

    Raises:
        UserError: what `load_base` and `prepare_tokenizer` refuse, or two that do not fit.
    """
    from evqa.models.load import check_vocabulary, load_base, load_tokenizer, pick_device

    tokenizer = load_tokenizer(folder, model.system_prompt)
    base = load_base(folder, model, quantization, pick_device(accelerator))
    check_vocabulary(base, tokenizer, folder)
    return LoadedBase(base, tokenizer)
