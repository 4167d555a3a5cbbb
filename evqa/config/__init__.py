"""Structured configs and ``run_job``: the one way in for every job."""

from evqa.config.compose import from_dict, load_config, to_dict
from evqa.config.jobs import (
    EvaluateConfig,
    JobConfig,
    PipelineConfig,
    PlanConfig,
    PrepareConfig,
    ReleaseConfig,
    ServeConfig,
    TrainConfig,
)
from evqa.config.register import config_dir, data_dir, project_dir, register_configs
from evqa.config.run_job import run_job

__all__ = [
    "EvaluateConfig",
    "JobConfig",
    "PipelineConfig",
    "PlanConfig",
    "PrepareConfig",
    "ReleaseConfig",
    "ServeConfig",
    "TrainConfig",
    "config_dir",
    "data_dir",
    "from_dict",
    "load_config",
    "project_dir",
    "register_configs",
    "run_job",
    "to_dict",
]
