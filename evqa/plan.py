"""python -m evqa.plan: what a training will take, before it runs; no torch, no weights."""

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
from evqa.memory.budget import fitting_changes, plain_recipe
from evqa.memory.planner import plan_json, plan_training

BAR_WIDTH = 40


def plan(config: PlanConfig, folder: Path) -> None:  # noqa: ARG001  nothing is written
    """Print the plan; one that does not fit its budget is exit code 4."""
    shape = Architecture.of(config.model)
    made = plan_training(config, shape)
    changes = [] if made.fits else fitting_changes(config, shape)
    values = plan_json(made, plain_recipe(config, shape), changes, {})
    if cost := estimate_api(config):
        values["api"] = cost
    if config.output == "json":
        sys.stdout.write(json.dumps(values, indent=2) + "\n")
    else:
        print_card(config, values)
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


def print_card(config: PlanConfig, values: dict[str, Any]) -> None:
    """Print the terms as bars, the verdict, and what would make it fit."""
    console = Console()
    table = Table(title=f"training {config.model.name}", box=box.SIMPLE)
    for heading in ("term", "GiB", ""):
        table.add_column(heading, justify="right" if heading == "GiB" else "left")
    for name, gib in values["terms_gib"].items():
        width = round(BAR_WIDTH * gib / values["peak_gib"])
        table.add_row(name, f"{gib:.3f}", "█" * width)
    table.add_row("peak", f"{values['peak_gib']:.3f}", "")
    console.print(table)
    usable = values["usable_gib"]
    limit = "no limit set" if usable is None else f"budget {usable:g} GiB"
    console.print(f"{'fits' if values['fits'] else 'does not fit'} ({limit})")
    plain = values["plain"]
    console.print(f"without 4 bits and checkpointing: {plain['peak_gib']:.2f} GiB")
    if "api" in values:
        api = values["api"]
        console.print(
            f"API: about ${api['expected_usd']:.2f} for {api['requests']} requests, at most "
            f"${min(api['most_usd'], api['budget_usd']):.2f} (qa.budget_usd={api['budget_usd']:g})"
        )
    for change in values["changes"]:
        console.print(f"fits with {change['override']} ({change['peak_gib']:.2f} GiB)")


if __name__ == "__main__":
    run_job("plan", PlanConfig, plan)
