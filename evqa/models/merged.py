"""Whole models, as a release writes them: loaded for answering."""

import warnings
from pathlib import Path
from typing import Any

from evqa.errors import OutsideError, UserError

TORCH_DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}


def check_base(path: str) -> None:
    """Refuse a model that is written as a folder and is not there.

    Raises:
        UserError: naming the folder.
    """
    looks_local = path.startswith((".", "/", "~"))
    if looks_local and not (Path(path).expanduser() / "config.json").is_file():
        raise UserError(f"{path}: the base model's folder is gone; train again, or put it back")


def load_model(folder: str, dtype: str | None = None, device: str = "cpu") -> Any:
    """Load a checkpoint in evaluation mode.

    Quantised weights (compressed-tensors) are loaded as the values they stand for.

    Args:
        folder: Local folder in Hugging Face format, or a hub id.
        dtype: Arithmetic (bf16, fp16, fp32); null for the type of the saved weights.
        device: Where to, such as cpu or cuda.

    Raises:
        UserError: when a local folder is gone.
        OutsideError: when a hub model cannot be had.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    check_base(folder)
    wanted = "auto" if dtype is None else getattr(torch, TORCH_DTYPES[dtype])
    arguments: dict[str, Any] = {"dtype": wanted}
    try:
        config = AutoConfig.from_pretrained(folder)
        if getattr(config, "quantization_config", None):
            from transformers import CompressedTensorsConfig

            arguments["quantization_config"] = CompressedTensorsConfig(dequantize=True)
        with warnings.catch_warnings():  # that it merges the two quantisation configs
            warnings.filterwarnings("ignore", message=".*already has a `quantization_config`.*")
            model = AutoModelForCausalLM.from_pretrained(folder, **arguments)
    except OSError as error:
        reason = str(error).strip().splitlines()[0]
        raise OutsideError(f"{folder}: cannot load the model: {reason}") from None
    return model.to(device).eval()
