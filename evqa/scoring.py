"""Comparing systems: what evaluate.py and the pipeline go through.

Answers are written as they come. An evaluation that was killed or whose endpoint failed is
continued by the same command: its answers are taken over by the new one.
"""

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evqa.config import EvaluateConfig, project_dir, to_dict
from evqa.errors import GateError
from evqa.evaluation.benchmark import benchmark_sha256, load_benchmark
from evqa.evaluation.systems import System, find_systems, opened, settled, together
from evqa.evaluation.verdict import SHIP, decide
from evqa.files import folder_lock, read_json, sha256_json, write_json, write_text
from evqa.provenance import git_commit, now
from evqa.records import Prediction, Question, write_jsonl
from evqa.runs import read_manifest
from evqa.tracking import build_tracker

if TYPE_CHECKING:
    from evqa.evaluation.charts import Chart
    from evqa.evaluation.comparison import Comparison
    from evqa.evaluation.report import Evaluation

REQUEST = "request.json"
RESULTS = "results.json"
PREDICTIONS = "predictions.jsonl"
RETENTION_PREDICTIONS = "retention_predictions.jsonl"
JUDGEMENTS = "judgements.jsonl"
CONTINUED = (PREDICTIONS, RETENTION_PREDICTIONS, JUDGEMENTS)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is compared: the systems and both sets of questions."""

    config: EvaluateConfig
    systems: list[System]
    questions: list[Question]
    general: list[Question]


@dataclass(slots=True)
class Seen:
    """What the systems answered, and how fast, by their names."""

    answers: dict[str, list[Prediction]] = field(default_factory=dict)
    general: dict[str, list[Prediction]] = field(default_factory=dict)
    perplexities: dict[str, float | None] = field(default_factory=dict)
    performance: dict[str, dict[str, Any]] = field(default_factory=dict)


def asked(config: EvaluateConfig) -> Asked:
    """Check everything that can be checked before a model is loaded.

    Raises:
        UserError: no such system, a bad benchmark, no key for the judge.
    """
    from evqa.evaluation.judge import check_judge

    questions = load_benchmark(config.benchmark)
    general = load_benchmark(config.retention, "retention") if config.retention.path else []
    systems = find_systems(config)
    check_judge(config.metrics.judge)
    return Asked(settled(config, systems), systems, questions, general)


def evaluate_systems(config: EvaluateConfig, folder: Path) -> "Evaluation":
    """Compare the systems and write everything into ``folder``."""
    what = asked(config)
    with _evaluating(what, folder):
        seen = _ask_all(what, folder)
        evaluation = _judged(what, seen, folder)
        _write(what, evaluation, folder)
    return evaluation


@contextmanager
def _evaluating(what: Asked, folder: Path) -> Iterator[None]:
    """Hold the folder, and take over what an interrupted evaluation of the same things has."""
    key = request_key(what)
    with folder_lock(folder):
        take_over(folder, key)
        write_json(folder / REQUEST, {"key": key, "systems": what.config.systems})
        yield


def request_key(what: Asked) -> str:
    """Return the hash of all that decides what is answered."""
    config = what.config
    return sha256_json(
        {
            "systems": [[system.name, system.fingerprint] for system in what.systems],
            "benchmark": [benchmark_sha256(config.benchmark), config.benchmark.max_questions],
            "retention": [question.id for question in what.general],
            "generation": to_dict(config.generation),
            "seed": config.seed,
        }
    )


def take_over(folder: Path, key: str) -> None:
    """Move the answers of an unfinished evaluation with this key into ``folder``."""
    for request in sorted(folder.parent.glob(f"*/{REQUEST}"), reverse=True):
        old = request.parent
        if old == folder or (old / RESULTS).exists() or read_json(request).get("key") != key:
            continue
        try:
            with folder_lock(old, wait=False):
                for name in CONTINUED:
                    if (old / name).is_file():
                        (old / name).replace(folder / name)
                shutil.rmtree(old)
        except BlockingIOError:  # another evaluation is at it
            continue
        sys.stderr.write(f"going on with the answers of {old.name}\n")
        return


def _ask_all(what: Asked, folder: Path) -> Seen:
    """Ask every system everything, those that share a loaded model one after the other."""
    from evqa.evaluation.additional import reference_perplexity
    from evqa.evaluation.performance import measure
    from evqa.evaluation.predict import Store, predict
    from evqa.progress import progress

    config = what.config
    store, general = Store(folder / PREDICTIONS), Store(folder / RETENTION_PREDICTIONS)
    seeds = [config.seed + number for number in range(config.generation.num_seeds)]
    seen = Seen()
    for systems in together(what.systems):
        with opened(config, systems) as answering:
            for one in answering:
                name, answerer = one.system.name, one.answerer
                with progress(f"asking {name}", len(what.questions) * len(seeds)) as bar:
                    made = predict(answerer, what.questions, seeds, store, bar.add)
                    seen.answers[name] = made
                if what.general:
                    with progress(f"asking {name} general questions", len(what.general)) as bar:
                        made = predict(answerer, what.general, seeds[:1], general, bar.add)
                        seen.general[name] = made
                if config.metrics.reference_perplexity:
                    seen.perplexities[name] = reference_perplexity(answerer, what.questions)
            if config.performance.enabled:
                seen.performance |= measure(answering, what.questions, config.performance)
    store.finish([p for system in what.systems for p in seen.answers[system.name]])
    return seen


def _judged(what: Asked, seen: Seen, folder: Path) -> "Evaluation":
    from evqa.evaluation.additional import additional_figures
    from evqa.evaluation.comparison import compare
    from evqa.evaluation.judge import judge
    from evqa.evaluation.report import Evaluation

    config, names = what.config, [system.name for system in what.systems]
    questions = what.questions * config.generation.num_seeds
    comparison = compare(
        questions,
        {name: seen.answers[name] for name in names},
        config.metrics,
        benchmark_sha256(config.benchmark),
        config.seed,
    )
    comparison.additional.update(additional_figures(config.metrics, comparison, seen.perplexities))
    retention = None
    if what.general:
        answers = {name: seen.general[name] for name in names}
        sha256 = benchmark_sha256(config.retention)
        retention = compare(what.general, answers, config.metrics, sha256, config.seed)
    judgement = None
    if config.metrics.judge.model is not None:
        judgement = judge(config.metrics.judge, comparison, folder / JUDGEMENTS)
    return Evaluation(
        comparison=comparison,
        retention=retention,
        verdict=decide(comparison, retention),
        performance={name: seen.performance[name] for name in names if name in seen.performance},
        judgement=judgement,
        steps=_steps(what.systems),
        provenance=_provenance(what),
    )


def _trained_run(systems: Sequence[System]) -> Path | None:
    """Return the run of the first adapter among the systems."""
    runs = [s for s in systems if s.with_adapter and not s.is_endpoint]
    folders = [Path(s.where) for s in runs if not s.name.startswith("version:")]
    return folders[0] if folders else None


def _steps(systems: Sequence[System]) -> list[dict[str, Any]]:
    """Return the losses of the trained run, step by step: of its training and validations."""
    run = _trained_run(systems)
    files = [] if run is None else [run / "steps.jsonl", run / "validations.jsonl"]
    lines = [
        line for file in files if file.is_file() for line in file.read_text("utf-8").splitlines()
    ]
    return [json.loads(line) for line in lines if line.endswith("}")]


def _provenance(what: Asked) -> dict[str, str]:
    config, run = what.config, _trained_run(what.systems)
    told = {
        "evaluated": now(),
        "evqa commit": git_commit(project_dir()) or "unknown",
        "benchmark": f"{config.benchmark.name} {benchmark_sha256(config.benchmark)}",
        "seed": str(config.seed),
        "generation": json.dumps(to_dict(config.generation)),
        **{f"system {s.name}": f"{s.where} ({s.fingerprint[:12]})" for s in what.systems},
    }
    if what.general:
        told["general questions"] = f"{config.retention.name} {benchmark_sha256(config.retention)}"
    if run is not None:
        manifest = read_manifest(run)
        told["trained by"] = f"{manifest.get('command')} at commit {manifest.get('git_commit')}"
        told["trained on"] = str((manifest.get("dataset") or {}).get("id"))
        told["base weights"] = str((manifest.get("base") or {}).get("sha256"))
        told |= _contamination(manifest)
    return told


def _contamination(manifest: dict[str, Any]) -> dict[str, str]:
    """Say what of the benchmark stands in the training pairs, where that was allowed."""
    folder = (manifest.get("dataset") or {}).get("folder")
    certificate = Path(folder) / "contamination.json" if folder else None
    if certificate is None or not certificate.is_file():
        return {"contamination": "no certificate here"}
    leaks = read_json(certificate).get("leaks") or []
    if not leaks:
        return {"contamination": "no training pair says what the benchmark says"}
    policy = (manifest["config"].get("benchmark") or {}).get("allow_leaks")
    told = f"{len(leaks)} training pairs ask for facts of the benchmark in other words"
    return {"contamination": f"{told} (benchmark.allow_leaks={policy})"}


def results_json(what: Asked, evaluation: "Evaluation") -> dict[str, Any]:
    """Return ``results.json``."""
    run = _trained_run(what.systems)
    retention = evaluation.retention
    return {
        "verdict": evaluation.verdict.word,
        "created": now(),
        "run": str(run) if run else None,
        "decision": evaluation.verdict.to_json(evaluation.comparison),
        **evaluation.comparison.to_json(),
        "retention": retention.to_json() if retention else None,
        "judge": evaluation.judgement,
        "performance": evaluation.performance,
        "provenance": evaluation.provenance,
    }


def _write(what: Asked, evaluation: "Evaluation", folder: Path) -> None:
    """Write the evaluation folder; ``results.json`` comes last and marks it as finished."""
    from evqa.evaluation.report import drawn, html, markdown

    pictures = drawn(evaluation)
    results = results_json(what, evaluation)
    if evaluation.retention:
        rows = [p for made in evaluation.retention.predictions.values() for p in made]
        write_jsonl(folder / RETENTION_PREDICTIONS, rows)
    write_json(folder / "benchmark_dataset.json", [q.to_dict() for q in what.questions])
    write_json(folder / "performance_metrics.json", {"systems": evaluation.performance})
    write_json(folder / "evaluation_results.json", results)
    write_text(folder / "report.md", markdown(evaluation))
    write_text(folder / "report.html", html(evaluation, pictures))
    _track(what.config, evaluation.comparison, pictures, folder)
    write_json(folder / RESULTS, results)


def _track(
    config: EvaluateConfig, comparison: "Comparison", pictures: "list[Chart]", folder: Path
) -> None:
    outputs_dir = Path(config.paths.outputs_dir).absolute()
    tracker = build_tracker(config.logger, outputs_dir, folder)
    tracker.params({"hparams": to_dict(config), "report": str(folder / "report.html")})
    for system, scores in comparison.scores.items():
        figures = {f"eval/{name}": value for name, value in scores.corpus.items()}
        tracker.metrics(figures, 0, {"system": system})
    for picture in pictures:
        tracker.image(picture.name, picture.png, picture.title)
    tracker.close()


def say_verdict(config: EvaluateConfig, evaluation: "Evaluation", folder: Path) -> None:
    """Print table, report and verdict.

    Raises:
        GateError: the verdict is not SHIP.
    """
    from evqa.evaluation.comparison import samples
    from evqa.evaluation.table import print_comparison

    verdict = evaluation.verdict
    if config.output == "json":
        sys.stdout.write((folder / RESULTS).read_text(encoding="utf-8"))
    else:
        print_comparison(evaluation.comparison, samples(evaluation.comparison, 3))
        detectable = 100 * verdict.detectable
        sys.stdout.write(
            f"\na true difference of {detectable:.1f} points is found in four cases of five\n"
        )
        sys.stdout.write("".join(f"{reason}\n" for reason in verdict.reasons))
        sys.stdout.write(f"\n{verdict.word}   {folder / 'report.html'}\n")
    if verdict.word != SHIP:
        raise GateError(f"{verdict.word}: {verdict.reasons[-1]}")
