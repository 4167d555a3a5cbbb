"""Loading: the base in NF4 with double quantisation, its tokenizer, and the adapter.

The base is quantised layer by layer as its files are read; the full-precision model never exists
on the device. `peft.prepare_model_for_kbit_training` is not used: it copies the embedding and the
head to fp32 (3.9 GiB on an 8B model).
"""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from evqa.architectures import target_modules
from evqa.config.model import Dtype, LoraConfig, ModelConfig, QuantizationConfig, QuantizationKind
from evqa.errors import UserError
from evqa.files import read_json
from evqa.models.chat import prepare_tokenizer

BF16_COMPUTE_CAPABILITY = (8, 0)  # Ampere; older cards emulate bf16 slowly
TORCH_DTYPES = {
    Dtype.bf16: torch.bfloat16,
    Dtype.fp16: torch.float16,
    Dtype.fp32: torch.float32,
}


def pick_device(accelerator: str) -> torch.device:
    """Return the device that ``trainer.accelerator`` means here.

    Raises:
        UserError: a GPU is asked for and there is none.
    """
    has_gpu = torch.cuda.is_available()
    if accelerator == "gpu" and not has_gpu:
        raise UserError("trainer.accelerator=gpu: no CUDA GPU is visible here; use trainer=cpu")
    return torch.device("cuda" if has_gpu and accelerator != "cpu" else "cpu")


def pick_dtype(dtype: Dtype, device: torch.device) -> torch.dtype:
    """Return the arithmetic type: auto is bf16 where the GPU has it, else fp16; fp32 on CPU."""
    if dtype is not Dtype.auto:
        return TORCH_DTYPES[dtype]
    if device.type == "cpu":
        return torch.float32
    capable = torch.cuda.get_device_capability(device) >= BF16_COMPUTE_CAPABILITY
    return torch.bfloat16 if capable else torch.float16


def quiet_bars() -> None:
    """Leave transformers' progress bars to terminals."""
    from transformers.utils import logging

    if not sys.stderr.isatty():
        logging.disable_progress_bar()


@contextlib.contextmanager
def readable(folder: Path) -> Iterator[None]:
    """Turn what transformers says of a folder that it cannot read into one line.

    Raises:
        UserError: naming the folder and the first line of the reason.
    """
    from safetensors import SafetensorError

    quiet_bars()
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"model.path={folder}: cannot be loaded: {line}") from None


def load_tokenizer(folder: Path, system_prompt: str | None = None) -> Any:
    """Load a tokenizer; with ``system_prompt``, its template gets that default (see `chat`)."""
    from transformers import AutoTokenizer

    with readable(folder):
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return prepare_tokenizer(tokenizer, system_prompt) if system_prompt is not None else tokenizer


def load_base(
    folder: Path,
    model: ModelConfig,
    quantization: QuantizationConfig,
    device: torch.device,
    *,
    is_sharded: bool = False,
) -> Any:
    """Load the frozen base model onto ``device``, in eval mode.

    Args:
        folder: In Hugging Face format; already quantised or not.
        model: Arithmetic type and attention.
        quantization: How to store the weights.
        device: Where to.
        is_sharded: The weights will be sharded over devices (FSDP): 4-bit values are then packed
            into elements of the arithmetic type, the only ones that it can flatten.

    Returns:
        A transformers causal language model without trainable parameters.

    Raises:
        UserError: the folder's weights cannot be read as such a model.
    """
    from transformers import AutoModelForCausalLM

    dtype = pick_dtype(model.dtype, device)
    arguments: dict[str, Any] = {
        "dtype": dtype,
        "attn_implementation": str(model.attention),
        "device_map": {"": device},
        "local_files_only": True,
    }
    if quantization.kind is QuantizationKind.nf4 and not is_quantized(folder):
        storage = dtype if is_sharded else torch.uint8
        arguments["quantization_config"] = _nf4(quantization, dtype, storage)
    with readable(folder):
        base = AutoModelForCausalLM.from_pretrained(folder, **arguments)
    guard_cpu_packing(base)
    base.requires_grad_(False)
    base.config.use_cache = False
    return base


def is_quantized(folder: Path) -> bool:
    """Tell whether a model folder holds quantised weights already."""
    return "quantization_config" in read_json(folder / "config.json")


def _nf4(quantization: QuantizationConfig, dtype: torch.dtype, storage: torch.dtype) -> Any:
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=quantization.double_quant,
        bnb_4bit_compute_dtype=dtype,
        bnb_4bit_quant_storage=storage,
    )


def guard_cpu_packing(model: Any) -> None:
    """Keep bitsandbytes from repacking weights on CPUs with AVX512-BF16.

    One eval-mode forward without gradients repacks each Linear4bit (bitsandbytes 0.50.2); after
    that the layer passes no input gradient and merging corrupts, both silently.
    """
    from bitsandbytes.nn import Linear4bit

    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False


def check_vocabulary(base: Any, tokenizer: Any, folder: Path) -> None:
    """Refuse a tokenizer whose ids the model has no embedding for.

    Raises:
        UserError: naming both sizes.
    """
    rows = base.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > rows:
        raise UserError(
            f"model.path={folder}: the tokenizer has {len(tokenizer)} tokens, but the model only "
            f"{rows} embeddings; they do not belong together"
        )


def check_context(base: Any, max_length_tokens: int, folder: Path) -> None:
    """Refuse samples longer than the positions that the model knows.

    Raises:
        UserError: naming both lengths.
    """
    longest = getattr(base.config, "max_position_embeddings", None)
    if longest is not None and max_length_tokens > longest:
        raise UserError(
            f"model.max_length_tokens={max_length_tokens}: {folder} knows {longest} positions "
            f"only; set model.max_length_tokens={longest} or less"
        )


def attach_adapter(base: Any, lora: LoraConfig) -> Any:
    """Return the base wrapped with a fresh, trainable adapter.

    Seed the generators before: the adapter's A matrices are drawn here.
    """
    from peft import LoraConfig as PeftConfig
    from peft import get_peft_model

    config = PeftConfig(
        task_type="CAUSAL_LM",
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=target_modules(lora.targets, lora.target_modules),
        use_rslora=lora.use_rslora,
        use_dora=lora.use_dora,
        bias=str(lora.bias),
    )
    wanted = TORCH_DTYPES[lora.dtype]
    # peft lifts adapters of 16-bit bases to fp32 by itself.
    model = get_peft_model(base, config, autocast_adapter_dtype=wanted is torch.float32)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(wanted)
    return model


def load_adapter(base: Any, folder: Path) -> Any:
    """Return the base wrapped with a saved adapter, for inference.

    Raises:
        UserError: no adapter there.
    """
    from peft import PeftModel

    if not (folder / "adapter_config.json").is_file():
        raise UserError(f"{folder}: no adapter there (adapter_config.json is missing)")
    return PeftModel.from_pretrained(base, folder)
