"""Where a base model's files are: a local folder, or a resumable download from the hub."""

import os
import shutil
import sys
from pathlib import Path
from typing import Any

from evqa.config.model import ModelConfig
from evqa.errors import DiskFullError, OutsideError, UserError

WEIGHT_PATTERNS = ("*.safetensors", "*.bin")
HUB_PATTERNS = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
GIB = 2**30


def locate(model: ModelConfig) -> Path:
    """Return the local folder of a base model, downloading it first when it is a hub id.

    Raises:
        UserError: the folder has no config or no weights, the hub does not know the id, or its
            licence has not been accepted.
        OutsideError: the hub cannot be reached, or the disk is too small.
    """
    path = str(model.path)
    folder = Path(path).expanduser()
    if folder.exists() or path.startswith((".", "/", "~")) or path.count("/") != 1:
        return check_folder(folder)
    return check_folder(_download(model))


def check_folder(folder: Path) -> Path:
    """Return the folder when it holds a model in Hugging Face format.

    Raises:
        UserError: naming what is missing.
    """
    if not folder.is_dir():
        raise UserError(f"model.path={folder}: no such folder (and not a hub id, owner/name)")
    if not (folder / "config.json").is_file():
        raise UserError(f"model.path={folder}: not a model folder, config.json is missing")
    if not any(next(folder.glob(pattern), None) for pattern in WEIGHT_PATTERNS):
        raise UserError(f"model.path={folder}: no weights there (*.safetensors or *.bin)")
    if not any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer.model")):
        raise UserError(f"model.path={folder}: no tokenizer there (tokenizer.json is missing)")
    return folder.resolve()


def _download(model: ModelConfig) -> Path:
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    arguments: dict[str, Any] = {
        "repo_id": str(model.path),
        "revision": model.revision,
        "allow_patterns": HUB_PATTERNS,
        "token": os.environ.get(model.token_env),
    }
    try:
        return Path(snapshot_download(**arguments, local_files_only=True))
    except LocalEntryNotFoundError:
        pass
    if model.gated and not arguments["token"]:
        raise gated_error(model)
    _check_disk(model, Path(constants.HF_HUB_CACHE))
    sys.stderr.write(f"downloading {model.path}: about {model.download_gib:g} GiB (resumable)\n")
    try:
        return Path(snapshot_download(**arguments))
    except Exception as error:  # noqa: BLE001  every failure of the hub is translated
        raise hub_error(model, error) from None


def _check_disk(model: ModelConfig, cache: Path) -> None:
    existing = next(parent for parent in (cache, *cache.parents) if parent.exists())
    free_gib = shutil.disk_usage(existing).free / GIB
    if free_gib < model.download_gib:
        raise DiskFullError(
            f"{model.path} takes {model.download_gib:g} GiB, but {cache} has {free_gib:.1f} GiB "
            "free; make room, or set HF_HOME to a larger disk"
        )


def gated_error(model: ModelConfig) -> UserError:
    """Return what to do about a model whose licence must be accepted first."""
    return UserError(
        f"{model.path} is gated: accept its licence ({model.license or 'see its page'}) at "
        f"https://huggingface.co/{model.path}, make a read token, and set the variable "
        f"{model.token_env} to it"
    )


def hub_error(model: ModelConfig, error: Exception) -> UserError | OutsideError:
    """Translate a failure of the hub into one line that says what to do."""
    from huggingface_hub.errors import (
        GatedRepoError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if isinstance(error, GatedRepoError):
        return gated_error(model)
    if isinstance(error, RevisionNotFoundError):
        return UserError(f"model.revision={model.revision}: {model.path} has no such revision")
    if isinstance(error, RepositoryNotFoundError):
        return UserError(
            f"model.path={model.path}: no local folder, and the hub has no such model (or it is "
            f"private: set the variable {model.token_env})"
        )
    line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return OutsideError(
        f"cannot download {model.path} ({line}); check the network, or give a local folder: "
        "model.path=/path/to/model"
    )
