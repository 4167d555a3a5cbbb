"""Finding a run folder and reading its manifest."""

from pathlib import Path
from typing import Any

import yaml

from evqa.errors import UserError
from evqa.files import read_json

LATEST = "latest"
MANIFEST = "manifest.json"


def find_run(outputs_dir: Path, run: str) -> Path:
    """Return the folder of a finished run.

    Args:
        outputs_dir: The folder that holds ``runs/``.
        run: ``latest``, the name of a folder in ``<outputs_dir>/runs``, or the path of one;
            of a sweep (its folder, or its study name) the best trial is taken.

    Raises:
        UserError: no such run, not finished, or a sweep without a finished trial.
    """
    if run == LATEST:
        folder = outputs_dir / "runs" / LATEST
        if not (folder / MANIFEST).is_file():
            raise UserError(
                f"run=latest: no finished run in {outputs_dir / 'runs'}; "
                "run `python train.py` first"
            )
    else:
        folder = _named_run(outputs_dir, run)
    folder = folder.resolve()
    if not read_manifest(folder).get("finished"):
        raise UserError(
            f"run={run}: this run has not finished; go on with `python train.py resume={folder}`"
        )
    return folder


def _named_run(outputs_dir: Path, run: str) -> Path:
    candidates = [Path(run), outputs_dir / "runs" / run, outputs_dir / "sweeps" / run]
    for folder in candidates:
        if (folder / MANIFEST).is_file():
            return folder
        if (folder / "trials").is_dir():
            return _best_trial(folder, run)
    raise UserError(
        f"run={run}: no run there (manifest.json is missing); give a run folder or run=latest"
    )


def _best_trial(sweep: Path, run: str) -> Path:
    """Return the run folder of a sweep's best trial; the sweep may have been moved as a whole."""
    best = sweep / "best.yaml"
    if not best.is_file():
        raise UserError(f"run={run}: a sweep of which no trial has finished yet (no best.yaml)")
    number = yaml.safe_load(best.read_text(encoding="utf-8"))["trial"]
    return sweep / "trials" / str(number)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the ``manifest.json`` of a run folder.

    Raises:
        UserError: when it is missing or not a JSON object.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise UserError(f"{folder}: not a run folder (manifest.json is missing)")
    manifest = read_json(path)
    if not isinstance(manifest, dict):
        raise UserError(f"{path}: expected a JSON object, but got {type(manifest).__name__}")
    return manifest
