"""python -m evqa.show_batch: the tokens of a step, and which of them are labels.

usage: python -m evqa.show_batch [run=latest step=12] [group=option ...]   (--help lists all)
"""

import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from evqa import stages
from evqa.config import TrainConfig, from_dict, run_job
from evqa.config.jobs import ShowBatchConfig
from evqa.errors import UserError
from evqa.files import read_json
from evqa.ledger import Ledger
from evqa.models.chat import IGNORED_LABEL
from evqa.records import QAPair, read_jsonl

LABEL_STYLE = "black on green"
CONTEXT_STYLE = "dim"
STEPS = "steps.jsonl"
Row = dict[str, Any]


def show_batch(config: ShowBatchConfig, folder: Path) -> None:  # noqa: ARG001  nothing is written
    """Print the samples of a step.

    Raises:
        UserError: no such run, step or sample.
    """
    run = None if config.run is None else run_folder(config)
    trained = config if run is None else run_config(run)
    tokenizer, rows = tokenised(trained)
    wanted = wanted_ids(config, run, trained, rows)
    known = {row["id"]: row for row in rows}
    if missing := [name for name in wanted if name not in known]:
        raise UserError(f"samples: no training sample {missing[0]!r} in this dataset")
    shown = [known[name] for name in wanted[: config.max_samples]]
    if config.output == "json":
        sys.stdout.write(json.dumps([as_json(row, tokenizer) for row in shown], indent=2) + "\n")
        return
    console = Console(soft_wrap=True)
    for row in shown:
        console.print(as_text(row, tokenizer))
    console.print(legend(len(shown), len(wanted)))


def run_folder(config: ShowBatchConfig) -> Path:
    """Return the folder of ``run=``; the run need not have finished (its loss may be NaN).

    Raises:
        UserError: no run there.
    """
    runs = Path(config.paths.outputs_dir) / "runs"
    for folder in (Path(str(config.run)), runs / str(config.run)):
        if (folder / "manifest.json").is_file():
            return folder
    raise UserError(f"run={config.run}: no run there (manifest.json is missing)")


def run_config(run: Path) -> TrainConfig:
    """Return the config that a run was started with."""
    return from_dict(TrainConfig, read_json(run / "manifest.json")["config"])


def tokenised(config: TrainConfig) -> tuple[Any, list[Row]]:
    """Return tokenizer and training samples of a config; no weights are loaded."""
    from evqa.data.dataset import build_samples
    from evqa.models.load import load_tokenizer

    prepared = stages.dataset(config)
    tokenizer = load_tokenizer(stages.base(config, prepared).folder, config.model.system_prompt)
    pairs = read_jsonl(prepared.folder / "pairs.jsonl", QAPair)
    samples = build_samples(pairs, tokenizer, config.model.max_length_tokens, Ledger())
    return tokenizer, list(samples.train)


def wanted_ids(
    config: ShowBatchConfig, run: Path | None, trained: TrainConfig, rows: list[Row]
) -> list[str]:
    """Return the ids to show: those named, those of a run's step, or those of a first step.

    Raises:
        UserError: the run has not made that step.
    """
    if config.samples:
        return list(config.samples)
    if run is None:
        return planned_step(trained, rows, config.step)
    lines = (
        (run / STEPS).read_text(encoding="utf-8").splitlines() if (run / STEPS).exists() else []
    )
    steps = {line["step"]: line for line in map(json.loads, lines)}
    if config.step in steps:
        return list(steps[config.step]["sample_ids"])
    return planned_step(trained, rows, config.step)  # the step that broke has no line


def planned_step(config: TrainConfig, rows: list[Row], step: int) -> list[str]:
    """Return the ids that a step of this config sees: the order depends on the seed alone.

    Raises:
        UserError: the training has fewer steps.
    """
    import numpy as np

    from evqa.data.batching import BatchPlan, epoch_batches

    plan = config.trainer
    lengths = [row["num_tokens"] for row in rows]
    longest = max(config.model.max_length_tokens, *lengths)
    cut = BatchPlan(
        plan.micro_batch_size, plan.accumulation, plan.num_devices, plan.batching, longest
    )
    steps_an_epoch = -(-len(rows) // cut.window)
    epoch, window = divmod(step - 1, steps_an_epoch)
    if epoch >= plan.num_epochs:
        last = steps_an_epoch * plan.num_epochs
        raise UserError(f"step={step}: this training has {last} steps")
    rng = np.random.default_rng([config.seed, epoch])
    counts = [row["num_label_tokens"] for row in rows]
    batches = epoch_batches(lengths, counts, cut, rng)[window]
    return [rows[index]["id"] for batch in batches for index in batch.indices]


def as_text(row: Row, tokenizer: Any) -> Text:
    """Return a sample as coloured text: labels on green, the rest dim, ``|`` between tokens."""
    text = Text(f"{row['id']}  {row['num_tokens']} tokens, {row['num_label_tokens']} labels\n")
    for token, label in zip(row["input_ids"], row["labels"], strict=True):
        style = CONTEXT_STYLE if label == IGNORED_LABEL else LABEL_STYLE
        text.append(tokenizer.decode([token]).replace("\n", "⏎"), style=style)
        text.append("|", style=CONTEXT_STYLE)
    return text.append("\n")


def as_json(row: Row, tokenizer: Any) -> dict[str, Any]:
    """Return a sample as JSON values."""
    return {
        "id": row["id"],
        "tokens": [tokenizer.decode([token]) for token in row["input_ids"]],
        "input_ids": list(row["input_ids"]),
        "labels": list(row["labels"]),
    }


def legend(shown: int, total: int) -> Text:
    """Return the line that explains the colours."""
    text = Text(f"{shown} of {total} samples: ")
    return text.append(" label ", style=LABEL_STYLE).append(
        " not in the loss", style=CONTEXT_STYLE
    )


if __name__ == "__main__":
    run_job("show_batch", ShowBatchConfig, show_batch)
