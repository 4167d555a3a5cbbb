"""``hydra/sweeper=evqa_optuna``: what ``python train.py -m`` starts.

Hydra 1.3 instantiates only plugins whose name begins with ``hydra_plugins.``; an alias in
``sys.modules`` satisfies it without a top-level package.
"""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from evqa.config.sweep import SWEEPER_TARGET, SweeperConfig

NAMESPACE, _, MODULE = SWEEPER_TARGET.rpartition(".")[0].partition(".")


class OptunaSweeper(Sweeper):
    """Hands the sweep's arguments to `evqa.sweep.run`; optuna is imported only then."""

    def __init__(self, **_settings: Any) -> None:
        self._config: DictConfig | None = None
        self._context: HydraContext | None = None

    def setup(
        self,
        *,
        hydra_context: HydraContext,
        task_function: TaskFunction,  # noqa: ARG002  trials run in processes of their own
        config: DictConfig,
    ) -> None:
        """Keep the config of the multirun."""
        self._config = config
        self._context = hydra_context

    def sweep(self, arguments: list[str]) -> None:
        """Run the whole sweep.

        Raises:
            GateError: nothing ran, or a combination of a finite list failed.
            UserError: the search is wrong, or another process works on the study.
        """
        from evqa.sweep.placement import is_placed_elsewhere, place_workers
        from evqa.sweep.run import Sweep, sweep

        assert self._config is not None
        assert self._context is not None
        hydra = self._config.hydra
        settings = OmegaConf.to_object(hydra.sweeper)
        assert isinstance(settings, SweeperConfig)
        task = Sweep(
            job=str(hydra.job.config_name),
            name=str(self._config.name),
            seed=int(self._config.seed),
            words=tuple(arguments),
            hydra_words=tuple(hydra.overrides.hydra),
            settings=settings,
            folder=Path(str(hydra.sweep.dir)).absolute(),
            command=(sys.executable, str(Path(sys.argv[0]).absolute())),
        )
        if is_placed_elsewhere(self._config):
            place_workers(task, self._context, self._config)
        else:
            sweep(task)


def register_sweeper() -> None:
    """Make ``hydra/sweeper=evqa_optuna`` known to Hydra. Idempotent."""
    plugins = Plugins.instance()
    package = sys.modules.setdefault(NAMESPACE, ModuleType(NAMESPACE))
    alias = sys.modules.setdefault(f"{NAMESPACE}.{MODULE}", ModuleType(f"{NAMESPACE}.{MODULE}"))
    setattr(package, MODULE, alias)
    setattr(alias, OptunaSweeper.__name__, OptunaSweeper)
    OptunaSweeper.__module__ = alias.__name__
    plugins.register(OptunaSweeper)
