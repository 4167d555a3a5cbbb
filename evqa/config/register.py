"""Where the configuration lives, and its registration with Hydra."""

from functools import lru_cache
from pathlib import Path

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from evqa.config import jobs
from evqa.config.sweep import SweeperConfig

JOBS: dict[str, type[jobs.JobConfig]] = {
    "train": jobs.TrainConfig,
    "prepare": jobs.PrepareConfig,
    "plan": jobs.PlanConfig,
    "show_batch": jobs.ShowBatchConfig,
    "evaluate": jobs.EvaluateConfig,
    "release": jobs.ReleaseConfig,
    "serve": jobs.ServeConfig,
    "pipeline": jobs.PipelineConfig,
}

PACKAGE_DIR = Path(__file__).resolve().parents[1]


def project_dir() -> Path:
    """Return the checkout that holds this package, or the current folder for a wheel."""
    checkout = PACKAGE_DIR.parent
    return checkout if (checkout / "conf" / "train.yaml").is_file() else Path.cwd()


def config_dir() -> Path:
    """Return the folder of the YAML groups: ``conf/`` of a checkout, ``_conf`` of a wheel."""
    checkout = PACKAGE_DIR.parent / "conf"
    return checkout if (checkout / "train.yaml").is_file() else PACKAGE_DIR / "_conf"


def data_dir() -> Path:
    """Return the folder of the shipped data: ``data/`` of a checkout, ``_data`` of a wheel."""
    checkout = PACKAGE_DIR.parent / "data"
    return checkout if (checkout / "sample").is_dir() else PACKAGE_DIR / "_data"


@lru_cache(maxsize=1)  # composing asks for it every time, and it costs a tenth of a second
def register_configs() -> None:
    """Tell Hydra each job's root schema and the resolvers that YAML files use. Idempotent.

    ``${evqa.project:outputs}`` is a folder of the project, ``${evqa.data:sample/pdf}`` one of the
    shipped data, both absolute: a job does the same from whatever folder it is started.
    """
    store = ConfigStore.instance()
    for name, schema in JOBS.items():
        store.store(name=f"{name}_schema", node=schema)
    store.store(group="hydra/sweeper", name="evqa_optuna_schema", node=SweeperConfig)
    OmegaConf.register_new_resolver(
        "evqa.project", lambda relative: str(project_dir() / relative), replace=True
    )
    OmegaConf.register_new_resolver(
        "evqa.data", lambda relative: str(data_dir() / relative), replace=True
    )


def options() -> dict[str, list[str]]:
    """Return the options of every config group, ``{"lora": ["all_linear", "r16", …], …}``."""
    found: dict[str, list[str]] = {}
    root = config_dir()
    for file in sorted(root.glob("*/**/*.yaml")):
        found.setdefault(file.parent.relative_to(root).as_posix(), []).append(file.stem)
    return found
