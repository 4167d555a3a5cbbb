"""Options that several subcommands share."""

from pathlib import Path
from typing import Annotated

import typer

OutputsDir = Annotated[
    Path | None, typer.Option(help="Outputs folder (default: outputs/ of the project).")
]


def outputs_folder(given: Path | None) -> Path:
    """Return the outputs folder: the one given, else the project's."""
    from evqa.config import project_dir

    return given if given is not None else project_dir() / "outputs"
