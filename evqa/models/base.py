"""The base model of a run: found or made, loaded with its tokenizer, ready for an adapter."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evqa.config.model import ModelConfig, QuantizationConfig
from evqa.config.training import MemoryConfig
from evqa.models.cache import QuantizedCache
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
    folder: Path,
    model: ModelConfig,
    quantization: QuantizationConfig,
    accelerator: str,
    memory: MemoryConfig | None = None,
    cache: QuantizedCache | None = None,
) -> LoadedBase:
    """Load the base and its tokenizer for training or inference.

    Args:
        folder: In Hugging Face format.
        model: Arithmetic type, attention, system prompt.
        quantization: How to store the weights.
        accelerator: cpu, gpu or auto.
        memory: Where embedding and head live; None: with the rest.
        cache: Where quantised bases are kept, None to quantise anew.

    Raises:
        UserError: what `load_base` and `prepare_tokenizer` refuse, or two that do not fit.
    """
    from evqa.models.head import save_vocabulary_memory
    from evqa.models.load import (
        check_context,
        check_vocabulary,
        load_base,
        load_tokenizer,
        pick_device,
    )

    tokenizer = load_tokenizer(folder, model.system_prompt)
    device = pick_device(accelerator)
    if cache is None:
        base = load_base(folder, model, quantization, device)
    else:
        base = cache.load(folder, model, quantization, device)
    check_vocabulary(base, tokenizer, folder)
    check_context(base, model.max_length_tokens, folder)
    on_cpu = memory is not None and memory.embedding_on_cpu
    if quantization.head or on_cpu:
        save_vocabulary_memory(
            base,
            head=quantization.head,
            embedding=on_cpu,
            tile_tokens=memory.vocabulary_tile_tokens if memory is not None else 8192,
            double_quant=quantization.double_quant,
        )
    return LoadedBase(base, tokenizer)
