"""python -m evqa.plan: what a training will take, before it runs; no torch, no weights.

usage: python -m evqa.plan [group=option ...] [key=value ...]     (--help lists everything)
"""

import json
import sys
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from evqa.architectures import Architecture
from evqa.config import PlanConfig, run_job
from evqa.config.data import DataKind, PairGenerator
from evqa.errors import GateError
from evqa.memory.budget import fitting_changes, plain_recipe, settle_micro_batch
from evqa.memory.costs import costs_json
from evqa.memory.gpu import Gpu, read_gpu
from evqa.memory.planner import Placement, plan_json, plan_training

BAR_WIDTH = 36
MIN_SHOWN_GIB = 0.0005
MAX_LISTED_CHANGES = 8
NUM_REASONS = 3


def plan(config: PlanConfig, folder: Path) -> None:  # noqa: ARG001  nothing is written
    """Print the plan; one that does not fit its budget is exit code 4."""
    shape = Architecture.of(config.model)
    gpu = None if config.trainer.accelerator == "cpu" else read_gpu()
    settle_micro_batch(config, shape, gpu)
    made = plan_training(config, shape, gpu)
    changes = [] if made.fits else fitting_changes(config, shape, gpu)
    values = plan_json(made, plain_recipe(config, shape, gpu), changes, {})
    values |= costs_json(config, shape)
    values["micro_batch_size"] = config.trainer.micro_batch_size
    values["accumulation"] = config.trainer.accumulation
    if cost := estimate_api(config):
        values["api"] = cost
        values["api_usd"] = min(cost["most_usd"], cost["budget_usd"])
    if config.output == "json":
        sys.stdout.write(json.dumps(values, indent=2) + "\n")
    else:
        print_card(config, values, Placement.of(config, gpu), gpu)
    if not made.fits:
        raise GateError(
            f"does not fit: {values['peak_gib']:.2f} GiB of {values['usable_gib']:.2f} GiB"
        )


def estimate_api(config: PlanConfig) -> dict[str, Any] | None:
    """Return what the LLM API will cost, null when none is asked.

    Raises:
        UserError: when a folder is missing or a price is unknown.
    """
    bought = config.qa.generator is PairGenerator.together or config.qa.judge
    if not bought or config.data.kind is not DataKind.corpus:
        return None
    from evqa.qa.estimate import api_cost
    from evqa.sources.size import estimated_words

    num_words = estimated_words(config.sources)
    cost = api_cost(num_words, config.documents.chunk_words, config.qa)
    return cost.to_dict() if cost else None


def print_card(
    config: PlanConfig, values: dict[str, Any], place: Placement, gpu: Gpu | None
) -> None:
    """Print the terms as bars, the verdict, what would make it fit, and the other costs."""
    console = Console()
    console.print(f"{config.model.name} on {describe(place, gpu)}: {batch_words(config)}")
    console.print(terms_table(values, "VRAM" if place.is_gpu else "memory"))
    usable = values["usable_gib"]
    verdict = "[green]fits[/]" if values["fits"] else "[red]does not fit[/]"
    limit = "no limit set" if usable is None else f"budget {usable:.4g} GiB"
    console.print(f"{verdict} ({limit})")
    for change in values["changes"][:MAX_LISTED_CHANGES]:
        console.print(f"  fits with {change['override']} ({change['peak_gib']:.2f} GiB)")
    for line in plain_lines(values):
        console.print(line)
    console.print(costs_table(values))


def describe(place: Placement, gpu: Gpu | None) -> str:
    """Return the device and arithmetic in words."""
    if not place.is_gpu:
        return "the CPU, fp32" if place.width == 4 else "the CPU, 16 bits"
    if gpu is None:
        return "a GPU, 16 bits"
    kind = "bf16" if gpu.has_bf16 else "fp16"
    attention = "fused attention" if gpu.has_flash_attention else "plain attention"
    return f"{gpu.name} ({gpu.free_gib:.1f} of {gpu.total_gib:.1f} GiB free), {kind}, {attention}"


def batch_words(config: PlanConfig) -> str:
    """Return micro-batch, accumulation and length in words."""
    plan = config.trainer
    return (
        f"micro-batch {plan.micro_batch_size} x {config.model.max_length_tokens} tokens, "
        f"{plan.accumulation} a step of {plan.effective_batch_size}"
    )


def terms_table(values: dict[str, Any], title: str) -> Table:
    """Return the terms of the training step as a table of bars."""
    table = Table(box=box.SIMPLE)
    for heading in (title, "GiB", ""):
        table.add_column(heading, justify="right" if heading == "GiB" else "left")
    for name, gib in values["terms_gib"].items():
        if gib >= MIN_SHOWN_GIB:
            width = round(BAR_WIDTH * gib / values["peak_gib"])
            table.add_row(name, f"{gib:.3f}", "█" * width)
    table.add_row("peak", f"{values['peak_gib']:.3f}", "", style="bold")
    return table


def plain_lines(values: dict[str, Any]) -> list[str]:
    """Return what the usual recipe would take, and where the difference lies."""
    plain = values["plain"]
    verdict = "fits" if plain["fits"] else "does not fit"
    lines = [f"the usual QLoRA recipe: {plain['peak_gib']:.2f} GiB, {verdict}"]
    own = values["terms_gib"]
    more = {name: gib - own.get(name, 0.0) for name, gib in plain["terms_gib"].items()}
    largest = sorted(more.items(), key=lambda item: -item[1])[:NUM_REASONS]
    reasons = [f"{name} +{gib:.2f}" for name, gib in largest if gib > MIN_SHOWN_GIB]
    if reasons:
        lines.append(f"  because of {', '.join(reasons)} GiB")
    return lines


def costs_table(values: dict[str, Any]) -> Table:
    """Return the other phases, disk, dollars and time as a table."""
    phases, time = values["phases"], values["time"]
    table = Table(box=box.SIMPLE, show_header=False)
    unknown = "unknown (no finished run of this model yet)"
    seconds = time["training_s"]
    rows = {
        "validation step": f"{phases['validation_gib']:.2f} GiB",
        "CPU memory": f"{phases['host_gib']:.2f} GiB while training, "
        f"{phases['merge_host_gib']:.2f} GiB while merging",
        "serving": f"{phases['serving_gib']:.2f} GiB (bf16, vLLM, 8 requests of full length)",
        "disk": f"{values['disk_gib']:.2f} GiB",
        "API": api_words(values),
        "time": unknown
        if seconds is None
        else f"{seconds:.0f} s at the rate of {time['rate_of']}",
    }
    for name, text in rows.items():
        table.add_row(name, text)
    return table


def api_words(values: dict[str, Any]) -> str:
    """Return what the API will cost, in words."""
    most = f"at most ${values['api_usd']:.2f}"
    if "api" not in values:
        return most
    api = values["api"]
    expected = f"about ${api['expected_usd']:.2f} for {api['requests']} requests"
    return f"{expected}, {most} (qa.budget_usd={api['budget_usd']:g})"


if __name__ == "__main__":
    run_job("plan", PlanConfig, plan)
