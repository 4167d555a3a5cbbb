"""Optimiser and learning-rate schedule from their configs."""

from typing import Any

import torch

from evqa.config.training import LrSchedulerConfig, OptimizerConfig, Schedule
from evqa.errors import UserError

LORA_B = "lora_B"


def build_optimizer(
    config: OptimizerConfig, parameters: dict[str, torch.nn.Parameter]
) -> torch.optim.Optimizer:
    """Build the optimiser that ``optimizer._target_`` names.

    Raises:
        UserError: no such class.
    """
    from hydra.utils import get_class

    target = config._target_
    try:
        kind: Any = get_class(target)
    except (ImportError, AttributeError, ValueError) as error:
        line = str(error).splitlines()[0]
        raise UserError(f"optimizer._target_={target}: cannot be imported: {line}") from None
    optimizer: torch.optim.Optimizer = kind(
        parameter_groups(config, parameters),
        lr=config.lr,
        betas=tuple(config.betas),
        weight_decay=config.weight_decay,
    )
    return optimizer


def parameter_groups(
    config: OptimizerConfig, parameters: dict[str, torch.nn.Parameter]
) -> list[dict[str, Any]]:
    """Return the parameters in groups: B apart when LoRA+ lets it learn faster than A."""
    if config.lora_plus_ratio == 1.0:
        return [{"params": list(parameters.values())}]
    fast = [p for name, p in parameters.items() if LORA_B in name]
    slow = [p for name, p in parameters.items() if LORA_B not in name]
    return [{"params": slow}, {"params": fast, "lr": config.lr * config.lora_plus_ratio}]


def build_scheduler(
    config: LrSchedulerConfig, optimizer: torch.optim.Optimizer, num_steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """Build the schedule: linear warm-up, then cosine, linear or constant, over ``num_steps``."""
    from transformers import optimization

    warmup = round(config.warmup_fraction * num_steps)
    scheduler: torch.optim.lr_scheduler.LRScheduler
    if config.kind is Schedule.constant:
        scheduler = optimization.get_constant_schedule_with_warmup(optimizer, warmup)
    elif config.kind is Schedule.linear:
        scheduler = optimization.get_linear_schedule_with_warmup(optimizer, warmup, num_steps)
    else:
        scheduler = optimization.get_cosine_schedule_with_warmup(optimizer, warmup, num_steps)
    return scheduler
