"""Merging a LoRA adapter into its base, with plain transformers and peft on the CPU.

The base is loaded afresh, and ``W' = W + scaling * B A`` is computed on weights not packed.
W is by default what the adapter was trained on: NF4 values, dequantised, where training was in
NF4 (on the embedded default the original weights change answers, these do not). rsLoRA and DoRA
merge the same way (https://arxiv.org/abs/2106.09685, https://arxiv.org/abs/2312.03732,
https://arxiv.org/abs/2402.09353).
"""

import warnings
from pathlib import Path
from typing import Any

from evqa.config.model import QuantizationConfig
from evqa.errors import OutsideError, UserError

TORCH_DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}


def merge_adapter(
    base_dir: str,
    adapter_dir: Path,
    output_dir: Path,
    dtype: str,
    max_shard_gib: float,
    nf4: QuantizationConfig | None = None,
) -> None:
    """Write base + adapter as one checkpoint that plain ``AutoModelForCausalLM`` loads.

    Tokenizer and chat template are the adapter folder's, as training saved them; the generation
    config is the base's, and stops at the tokenizer's end token too.

    Args:
        base_dir: Local folder in Hugging Face format, or a hub id.
        adapter_dir: A peft adapter with its tokenizer.
        output_dir: An empty folder.
        dtype: bf16, fp16 or fp32.
        max_shard_gib: Largest safetensors file, GiB.
        nf4: How training quantised the base, to merge into those values; None for the original.

    Raises:
        UserError: adapter or base are not there, or do not fit each other.
    """
    if any(output_dir.iterdir()):
        raise UserError(f"{output_dir}: not empty; a merge is written to a fresh folder")
    model = load_merged(base_dir, adapter_dir, dtype, nf4)
    tokenizer = load_tokenizer(adapter_dir)
    _stop_at_end_of_turn(model, tokenizer)
    model.save_pretrained(output_dir, max_shard_size=int(max_shard_gib * 2**30))
    tokenizer.save_pretrained(output_dir)


def load_merged(
    base_dir: str, adapter_dir: Path, dtype: str, nf4: QuantizationConfig | None = None
) -> Any:
    """Return the base with the adapter merged in, a plain transformers model.

    Raises:
        UserError: as `load_with_adapter`, or when the adapter's weights are not finite.
    """
    model = load_with_adapter(base_dir, adapter_dir, dtype, nf4)
    try:
        return model.merge_and_unload(safe_merge=True)
    except ValueError as error:
        raise UserError(f"{adapter_dir}: cannot be merged: {error}") from None


def load_with_adapter(
    base_dir: str, adapter_dir: Path, dtype: str, nf4: QuantizationConfig | None = None
) -> Any:
    """Return a fresh base with the adapter beside it (peft), in evaluation mode.

    Raises:
        UserError: when the adapter does not fit the base.
    """
    from peft import PeftModel

    check_adapter(adapter_dir)
    base = load_model(base_dir, dtype, nf4)
    try:
        with warnings.catch_warnings():  # peft 0.21 asks transformers for a deprecated attribute
            warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*")
            return PeftModel.from_pretrained(base, str(adapter_dir)).eval()
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"{adapter_dir}: does not fit the base {base_dir}: {reason}") from None


def load_model(folder: str, dtype: str, nf4: QuantizationConfig | None = None) -> Any:
    """Load a checkpoint on the CPU in the given arithmetic (bf16, fp16, fp32).

    With ``nf4`` its linear layers hold the values that this quantisation gives them.

    Raises:
        UserError: when a local folder is gone.
        OutsideError: when a hub model cannot be had.
    """
    import torch
    from transformers import AutoModelForCausalLM

    from evqa.models.load import load_dequantized

    check_base(folder)
    torch_dtype = getattr(torch, TORCH_DTYPES[dtype])
    try:
        if nf4 is not None:
            return load_dequantized(folder, nf4).to(torch_dtype).eval()
        return AutoModelForCausalLM.from_pretrained(folder, dtype=torch_dtype).eval()
    except OSError as error:
        reason = str(error).strip().splitlines()[0]
        raise OutsideError(f"{folder}: cannot load the model: {reason}") from None


def load_tokenizer(folder: Path) -> Any:
    """Load the tokenizer saved in a folder.

    Raises:
        UserError: when there is none, or it has no chat template.
    """
    from transformers import AutoTokenizer

    if not (folder / "tokenizer_config.json").is_file():
        raise UserError(f"{folder}: the tokenizer is missing (tokenizer_config.json)")
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    if not tokenizer.chat_template:
        raise UserError(f"{folder}: the tokenizer has no chat template")
    return tokenizer


def check_adapter(folder: Path) -> None:
    """Refuse a folder that does not hold a peft adapter.

    Raises:
        UserError: naming the missing file.
    """
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        if not (folder / name).is_file():
            raise UserError(f"{folder}: no adapter there ({name} is missing); train again")


def check_base(path: str) -> None:
    """Refuse a base that is written as a folder and is not there.

    Raises:
        UserError: naming the folder.
    """
    looks_local = path.startswith((".", "/", "~"))
    if looks_local and not (Path(path).expanduser() / "config.json").is_file():
        raise UserError(f"{path}: the base model's folder is gone; train again, or put it back")


def _stop_at_end_of_turn(model: Any, tokenizer: Any) -> None:
    """Let generation stop where training ended an answer, beside the base's own end tokens."""
    known = model.generation_config.eos_token_id
    ends = list(known) if isinstance(known, list) else [known]
    ends = [token for token in dict.fromkeys([*ends, tokenizer.eos_token_id]) if token is not None]
    model.generation_config.eos_token_id = ends[0] if len(ends) == 1 else ends
