"""``resume=``: go on with a run under its own config."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from evqa.config.compose import from_dict, parse_overrides, to_dict
from evqa.config.jobs import JobConfig
from evqa.errors import ConfigError, UserError
from evqa.files import read_json

C = TypeVar("C", bound=JobConfig)
UNFINISHED = "unfinished"


def resumed(config: C, schema: type[C], overrides: Sequence[str]) -> tuple[C, Path]:
    """Return the config and the folder of the run that ``config.resume`` names.

    Raises:
        UserError: no such run, or it has finished.
        ConfigError: an override differs from the run's own config.
    """
    wanted = getattr(config, "resume")  # noqa: B009  only the training root has the field
    folder = find_unfinished(Path(config.paths.outputs_dir), wanted)
    manifest = read_json(folder / "manifest.json")
    own = from_dict(schema, {**manifest["config"], "resume": str(folder)})
    _refuse_differences(to_dict(own), to_dict(config), overrides)
    return own, folder


def find_unfinished(outputs_dir: Path, wanted: str) -> Path:
    """Return the run folder to go on with.

    Raises:
        UserError: naming the folder, and what to do.
    """
    if wanted != UNFINISHED:
        folder = Path(wanted).absolute()
        if not (folder / "manifest.json").is_file():
            raise UserError(f"resume={wanted}: no run there (manifest.json is missing)")
        if _is_finished(folder):
            raise UserError(f"resume={wanted}: this run has finished; start a new one")
        return folder
    runs = sorted((outputs_dir / "runs").glob("*/manifest.json"), reverse=True)
    for manifest in runs:
        if not manifest.parent.is_symlink() and not _is_finished(manifest.parent):
            return manifest.parent.absolute()
    state = "every run has finished" if runs else "there is no run"
    raise UserError(f"resume={UNFINISHED}: {state} in {outputs_dir / 'runs'}")


def _is_finished(folder: Path) -> bool:
    return bool(read_json(folder / "manifest.json").get("finished"))


def _refuse_differences(own: dict[str, Any], given: dict[str, Any], words: Sequence[str]) -> None:
    for override in parse_overrides(words):
        key = override.key_or_group
        if key == "resume" or key.startswith("hydra"):
            continue
        for name in _leaf_keys(given, key.split("/")[0]):
            if (old := _get(own, name)) != (new := _get(given, name)):
                raise ConfigError(
                    f"{name}: the run has {old!r}, but got {new!r}; a resumed run keeps its "
                    "config (leave the override out, or start a new run)"
                )


def _leaf_keys(values: dict[str, Any], key: str) -> list[str]:
    node = _get(values, key)
    if not isinstance(node, dict):
        return [key]
    return [leaf for name in node for leaf in _leaf_keys(values, f"{key}.{name}")]


def _get(values: dict[str, Any], key: str) -> Any:
    node: Any = values
    for part in key.split("."):
        if not isinstance(node, dict) or part not in node:
            return None
        node = node[part]
    return node
