"""The question before every launch: does this point compose, and does it fit the memory?"""

import contextlib
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from evqa.architectures import Architecture
from evqa.config.compose import compose_config, to_plain
from evqa.config.jobs import TrainConfig
from evqa.errors import ConfigError, UserError
from evqa.files import read_json
from evqa.memory.budget import settle_micro_batch
from evqa.memory.planner import plan_training

EFFECTIVE_BATCH = "trainer.effective_batch_size"
MICRO_BATCH = "trainer.micro_batch_size"
MIN_MEASURED_TRIALS = 8


@dataclass(frozen=True, slots=True)
class Admission:
    """The planner's word on one point.

    Attributes:
        words: The overrides to launch, completed by the micro-batch that was chosen.
        reason: Why the point cannot run; None when it can.
        predicted_gib: Predicted peak.
        excess_gib: Predicted peak minus budget; not positive when it fits or nothing limits it.
    """

    words: tuple[str, ...]
    reason: str | None = None
    predicted_gib: float | None = None
    excess_gib: float = 0.0


def memory_correction(sweeps: Path) -> float:
    """Return what predictions are to be multiplied with: the median of measured over predicted.

    Of all trials of earlier studies that measured a GPU's peak, once there are enough of them; the
    factor is never below 1, so that a lucky device does not let another one run out of memory.
    """
    ratios = []
    for file in sorted(sweeps.glob("*/trials/*/plan.json")):
        with contextlib.suppress(OSError, UserError, KeyError, TypeError, ZeroDivisionError):
            measured = read_json(file)["measured"]
            ratios.append(float(measured["peak_gib"]) / float(measured["predicted_gib"]))
    if len(ratios) < MIN_MEASURED_TRIALS:
        return 1.0
    return max(1.0, statistics.median(ratios))


def admit(job: str, words: Sequence[str], factor: float = 1.0) -> Admission:
    """Compose one point and ask the planner.

    Where the words set the effective batch and leave the micro-batch open, the planner chooses
    it: the largest that fits the budget, or without a budget the largest up to the configured one.
    """
    config = compose_config(job, words)
    keys = {word.partition("=")[0].lstrip("+") for word in words}
    if EFFECTIVE_BATCH not in keys or MICRO_BATCH in keys:
        return judge(config, words, factor)
    refused: Admission | None = None
    for size in micro_batches(config):
        OmegaConf.update(config, MICRO_BATCH, size)
        verdict = judge(config, [*words, f"{MICRO_BATCH}={size}"], factor)
        if verdict.reason is None:
            return verdict
        refused = verdict
    return refused or judge(config, words, factor)


def micro_batches(config: DictConfig) -> list[int]:
    """Return the micro-batches that divide the effective batch, the largest first."""
    share = config.trainer.effective_batch_size // config.trainer.devices
    limited = config.memory.budget_gib is not None
    largest = share if limited else min(share, config.trainer.micro_batch_size)
    return [size for size in range(largest, 0, -1) if share % size == 0]


def judge(config: DictConfig, words: Sequence[str], factor: float = 1.0) -> Admission:
    """Say whether a composed config is valid and fits its budget.

    Args:
        config: Composed.
        words: Its overrides.
        factor: On the predicted peak, from earlier measurements.
    """
    given = Admission(tuple(words))
    try:
        plain = to_plain(config, TrainConfig)
    except ConfigError as error:
        return replace(given, reason=str(error), excess_gib=1.0)
    shape = Architecture.of(plain.model)
    settle_micro_batch(plain, shape)
    plan = plan_training(plain, shape)
    peak_gib = plan.peak_gib * factor
    planned = replace(given, predicted_gib=round(peak_gib, 4))
    if plan.budget_gib is None:
        return planned
    excess = peak_gib - plan.budget_gib
    reason = f"predicted {peak_gib:.2f} GiB, but memory.budget_gib={plan.budget_gib:g}"
    return replace(planned, reason=None if excess <= 0 else reason, excess_gib=excess)
