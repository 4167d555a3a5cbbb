"""Loading base, adapter, merged model and tokenizer for export, on the CPU."""

from pathlib import Path
from typing import Any

from evqa.errors import OutsideError, UserError
from evqa.models.merged import TORCH_DTYPES, check_base, load_model

__all__ = ["TORCH_DTYPES", "check_base", "load_model", "load_tokenizer", "local_folder"]


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
