"""The planner's peak against the allocator's on one CUDA machine, over forty configurations.

usage: python benchmarks/gpu_planner.py [--cap-gib 6]
       python benchmarks/gpu_planner.py --device cpu --steps 1 --limit 3      (logic, no GPU)

Models of the true shapes with random weights (see gpu_memory.py, beside this file). Promised: none
that the planner accepts goes over the cap, the median error is at most 8 %, 95 % of the errors are
at most 15 %. Writes benchmarks/results/gpu_planner.json, stamped with the commit.
"""

import argparse
import itertools
import json
import statistics
import sys
from typing import Any

import gpu_memory  # beside this file

from evqa.architectures import Architecture
from evqa.config import TrainConfig, load_config, project_dir
from evqa.files import write_json
from evqa.memory.planner import plan_training
from evqa.progress import progress
from evqa.provenance import git_commit

MODELS = ("llama3_2_1b", "qwen2_5_1_5b", "llama3_2_3b", "mistral_7b", "llama3_1_8b")
LENGTHS = (512, 1024, 2048)
RECIPES = {
    "plain": ["memory.budget_gib=6", "lora.dropout=0"],
    "dropout, batch of 2": ["memory.budget_gib=6", "trainer.micro_batch_size=2"],
    "best": [w for w in gpu_memory.BEST if not w.startswith("memory=")] + ["memory=6gib"],
}
MEDIAN_ERROR, P95_ERROR = 0.08, 0.15


def cases() -> list[list[str]]:
    """Return the overrides of every configuration."""
    return [
        [f"model={model}", f"model.max_length_tokens={length}", *gpu_memory.BASE, "trainer=gpu",
         *recipe]
        for model, length, recipe in itertools.product(MODELS, LENGTHS, RECIPES.values())
    ]  # fmt: skip


def is_accepted(words: list[str]) -> bool:
    """Tell whether the planner lets it start."""
    config = load_config("train", words)
    assert isinstance(config, TrainConfig)
    return plan_training(config, Architecture.from_config(config.model.architecture)).fits


def verdict(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what was promised and what was found."""
    errors = sorted(abs(row["error"]) for row in rows if row.get("error") is not None)
    over = [row["words"] for row in rows if row["accepted"] and row.get("out_of_memory")]
    if not errors:
        return {"accepted_but_out_of_memory": over, "median_error": None, "p95_error": None}
    return {
        "configurations": len(rows),
        "accepted_but_out_of_memory": over,
        "median_error": statistics.median(errors),
        "p95_error": errors[min(len(errors) - 1, int(0.95 * len(errors)))],
    }


def main() -> None:
    """Measure, write, print; exit 1 when a promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--cap-gib", type=float, default=6.0)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--limit", type=int, help="only the first so many configurations")
    options = parser.parse_args()
    chosen = cases()[: options.limit]
    if options.device == "cpu":
        chosen = [[*words, "model=tiny", "model.max_length_tokens=128"] for words in chosen]
    rows = []
    with progress("measuring", len(chosen)) as bar:
        for words in chosen:
            figures = gpu_memory.child(words, options)
            rows.append({"words": words, "accepted": is_accepted(words), **figures})
            bar.add(1)
    found = verdict(rows)
    result = {"verdict": found, "rows": rows, "git_commit": git_commit(project_dir())}
    if options.device == "cuda":
        write_json(project_dir() / "benchmarks" / "results" / "gpu_planner.json", result)
    sys.stdout.write(json.dumps(found, indent=2) + "\n")
    broken = found["accepted_but_out_of_memory"] or (
        found["median_error"] is not None
        and (found["median_error"] > MEDIAN_ERROR or found["p95_error"] > P95_ERROR)
    )
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
