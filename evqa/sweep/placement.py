"""Sweepers placed by a Hydra launcher: on a Slurm cluster, with Ray, or as local processes.

The launcher is not given the trials but whole sweepers, which share a study in a database. A
launcher that loses a worker ends its own loop; the study does not care: the other workers retry
the lost trial, and the same command again starts as many new ones.
"""

from dataclasses import dataclass
from typing import Any

from hydra.core.plugins import Plugins
from hydra.types import HydraContext
from omegaconf import DictConfig

from evqa.errors import OutsideError, UserError
from evqa.sweep.run import Sweep, sweep

BASIC_LAUNCHER = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"


@dataclass(frozen=True, slots=True)
class Worker:
    """One sweeper, as the task function that a launcher runs in some other process."""

    task: Sweep

    def __call__(self, _config: DictConfig) -> None:
        """Work on the study until its totals are reached."""
        sweep(self.task)


def is_placed_elsewhere(config: DictConfig) -> bool:
    """Tell whether ``hydra/launcher`` is another one than Hydra's own loop."""
    return str(config.hydra.launcher._target_) != BASIC_LAUNCHER


def place_workers(task: Sweep, context: HydraContext, config: DictConfig) -> None:
    """Start ``hydra.sweeper.workers`` sweepers by ``hydra/launcher`` and wait for them.

    Raises:
        UserError: the study is not in a database that they can share.
        OutsideError: a worker was lost; the same command goes on.
    """
    if task.settings.storage is None:
        raise UserError(
            "hydra/launcher: its workers need a study that they can share; set "
            "hydra.sweeper.storage=postgresql+psycopg://user@host/name"
        )
    launcher: Any = Plugins.instance().instantiate_launcher(
        hydra_context=context, task_function=Worker(task), config=config
    )
    # Folders of their own, beside those of the trials.
    places = [
        [f"hydra.sweep.subdir={task.study_folder.name}/workers/{number}"]
        for number in range(task.settings.workers)
    ]
    try:
        for result in launcher.launch(places, 0):
            _ = result.return_value  # raises what the worker has raised
    except (OSError, RuntimeError) as error:
        line = (str(error).strip() or type(error).__name__).splitlines()[-1]
        raise OutsideError(f"hydra/launcher: a worker was lost ({line}); run it again") from None
