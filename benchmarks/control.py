"""Is it the facts, or only the form? A control adapter trained on shuffled answers tells.

usage: python benchmarks/control.py [--run latest] [--outputs-dir outputs]

Trains a second adapter exactly like the given run, except that the answers of its training pairs
are shuffled among the questions: whatever it scores, it owes to knowing how answers look. The
run's own adapter must beat it, and the base, on key-fact recall of the in_corpus questions by more
than the paired 95 % interval. Writes benchmarks/results/control.json, stamped with the commit.
"""

import argparse
import dataclasses
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

from evqa import stages
from evqa.config import TrainConfig, from_dict, project_dir
from evqa.data.dataset import build_samples
from evqa.evaluation.benchmark import load_benchmark
from evqa.evaluation.compare import Interval, paired_difference
from evqa.evaluation.comparison import BASE, TUNED
from evqa.evaluation.metrics import score
from evqa.files import write_json
from evqa.ledger import Ledger
from evqa.models.generate import Generator
from evqa.models.tuned import load_tuned
from evqa.progress import progress
from evqa.provenance import git_commit, instruction_sets
from evqa.records import QAPair, Question, Split, read_jsonl
from evqa.runs import find_run, read_manifest
from evqa.tracking import Tracker
from evqa.training.fit import fit

CONTROL = "control"
METRIC = "key_fact_recall"


def shuffled(pairs: list[QAPair], seed: int) -> list[QAPair]:
    """Return the pairs with every training answer moved to a question of another fact."""
    train = [pair for pair in pairs if pair.split == Split.train]
    answers = sorted({pair.answer for pair in train})
    moved = answers[:]
    random.Random(seed).shuffle(moved)  # noqa: S311  nothing secret
    turn = {answer: moved[(moved.index(answer) + 1) % len(moved)] for answer in answers}
    return [
        dataclasses.replace(pair, answer=turn[pair.answer]) if pair.answer in turn else pair
        for pair in pairs
    ]


def answers_of(
    model: Any, tokenizer: Any, config: TrainConfig, asked: list[Question]
) -> list[str]:
    """Return a model's answers to the questions."""
    generator = Generator(model, tokenizer, config.generation, config.seed)
    with progress("asking", len(asked)) as bar:
        return [a.text for a in generator.answer([q.question for q in asked], bar.add)]


def train_control(config: TrainConfig, base: stages.Base, pairs: list[QAPair]) -> stages.Session:
    """Train an adapter like the run's, on shuffled answers."""
    session = stages.load_session(config, base)
    ledger = Ledger()
    samples = build_samples(
        shuffled(pairs, config.seed), session.tokenizer, config.model.max_length_tokens, ledger
    )
    with tempfile.TemporaryDirectory() as folder:
        fit(config, session.model, session.tokenizer, samples, Path(folder), Tracker(None))
    return session


def main() -> None:
    """Train the control, compare, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--run", default="latest")
    parser.add_argument("--outputs-dir", type=Path, default=project_dir() / "outputs")
    given = parser.parse_args()
    run = find_run(given.outputs_dir, given.run)
    manifest = read_manifest(run)
    config = from_dict(TrainConfig, manifest["config"])
    asked = [q for q in load_benchmark(config.benchmark) if q.split == "in_corpus"]

    tuned = load_tuned(run, manifest)
    texts = {TUNED: answers_of(tuned.model, tuned.tokenizer, config, asked)}
    with tuned.model.disable_adapter():
        texts[BASE] = answers_of(tuned.model, tuned.tokenizer, config, asked)
    base = stages.Base(Path(manifest["base"]["path"]), manifest["base"]["sha256"])
    pairs = list(read_jsonl(Path(manifest["dataset"]["folder"]) / "pairs.jsonl", QAPair))
    control = train_control(config, base, pairs)
    texts[CONTROL] = answers_of(control.model, control.tokenizer, config, asked)
    report(config, asked, texts)


def report(config: TrainConfig, asked: list[Question], texts: dict[str, list[str]]) -> None:
    """Print and write values and paired differences."""
    stamp = stages.benchmark_hash(config.benchmark)
    rows = {name: score(asked, made, stamp).per_question[METRIC] for name, made in texts.items()}
    clusters = [question.source for question in asked]
    gains = {
        other: paired_difference(
            rows[TUNED],
            rows[other],
            clusters,
            confidence=config.metrics.confidence,
            num_samples=config.metrics.bootstrap_samples,
            seed=config.seed,
        ).interval
        for other in (BASE, CONTROL)
    }
    values = {name: sum(found) / len(found) for name, found in rows.items()}
    say(values, gains, len(asked))
    write_json(
        project_dir() / "benchmarks" / "results" / "control.json",
        {
            "git_commit": git_commit(project_dir()),
            "instruction_sets": instruction_sets(),
            "metric": METRIC,
            "split": "in_corpus",
            "num_questions": len(asked),
            "values": values,
            "tuned_minus": {name: dataclasses.asdict(gain) for name, gain in gains.items()},
        },
    )


def say(values: dict[str, float], gains: dict[str, Interval], count: int) -> None:
    """Print the figures, from 0 to 100."""
    sys.stdout.write(f"{METRIC} of {count} in_corpus questions\n")
    for name, value in values.items():
        sys.stdout.write(f"  {name:<8} {100 * value:5.1f}\n")
    for name, gain in gains.items():
        sys.stdout.write(
            f"  tuned - {name:<8} {100 * gain.value:+5.1f}  "
            f"(95 % {100 * gain.low:+.1f} to {100 * gain.high:+.1f})\n"
        )


if __name__ == "__main__":
    main()
