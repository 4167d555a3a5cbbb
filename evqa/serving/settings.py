"""The config as the server reads it after ``exec``: plain values, without Hydra.

``serve.py`` checks the command line with Hydra, hands the result on as JSON, and becomes the
server: a process that never imported Hydra is some 30 MiB smaller.
"""

import json
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from evqa.config import ServeConfig


def dump_settings(config: "ServeConfig", project_dir: Path) -> str:
    """Return the config and the project's folder as JSON."""
    return json.dumps({"config": asdict(config), "project_dir": str(project_dir)})


def load_settings(text: str) -> tuple["ServeConfig", Path]:
    """Return the config, attribute for attribute, and the project's folder.

    Enums arrive as their names, which they are equal to.
    """
    settings = json.loads(text, object_hook=lambda fields: SimpleNamespace(**fields))
    return cast("ServeConfig", settings.config), Path(settings.project_dir)
