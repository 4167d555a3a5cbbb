"""Loading base, adapter, merged model and tokenizer for export, on the CPU."""

import warnings
from pathlib import Path
from typing import Any

from evqa.errors import OutsideError, UserError

TORCH_DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}


def local_folder(path: str) -> Path:
    """Return the folder of a model: itself, or where the hub's copy lies.

    Raises:
        UserError: when a local folder is gone.
        OutsideError: when a hub model cannot be had.
    """
    check_base(path)
    folder = Path(path).expanduser()
    if folder.is_dir():
        return folder
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(path, allow_patterns=["*.json", "*.safetensors"]))
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise OutsideError(f"{path}: cannot load the model: {reason}") from None


def load_model(folder: str, dtype: str) -> Any:
    """Load a checkpoint on the CPU in the given arithmetic (bf16, fp16, fp32), evaluation mode.

    Quantised weights (compressed-tensors) are loaded as the values they stand for.

    Raises:
        UserError: when a local folder is gone.
        OutsideError: when a hub model cannot be had.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    check_base(folder)
    arguments: dict[str, Any] = {"dtype": getattr(torch, TORCH_DTYPES[dtype])}
    try:
        config = AutoConfig.from_pretrained(folder)
        if getattr(config, "quantization_config", None):
            from transformers import CompressedTensorsConfig

            arguments["quantization_config"] = CompressedTensorsConfig(dequantize=True)
        with warnings.catch_warnings():  # that it merges the two quantisation configs
            warnings.filterwarnings("ignore", message=".*already has a `quantization_config`.*")
            return AutoModelForCausalLM.from_pretrained(folder, **arguments).eval()
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


def check_base(path: str) -> None:
    """Refuse a base that is written as a folder and is not there.

    Raises:
        UserError: naming the folder.
    """
    looks_local = path.startswith((".", "/", "~"))
    if looks_local and not (Path(path).expanduser() / "config.json").is_file():
        raise UserError(f"{path}: the base model's folder is gone; train again, or put it back")
