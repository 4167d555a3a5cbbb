"""``python -m evqa.release``: merge a run's adapter, prove parity, register a version."""

import gc
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from evqa.config import ReleaseConfig, from_dict, run_job, to_dict
from evqa.config.jobs import Output
from evqa.config.model import QuantizationConfig, QuantizationKind
from evqa.config.serving import BaseWeights
from evqa.errors import UserError
from evqa.export.card import model_card
from evqa.export.generator import TransformersGenerator
from evqa.export.merge import (
    check_adapter,
    check_base,
    load_model,
    load_tokenizer,
    load_with_adapter,
    merge_adapter,
)
from evqa.export.parity import Observation, ParityReport, check_parity, compare, observe
from evqa.files import read_json, write_text
from evqa.provenance import weights_sha256
from evqa.records import Document, Split, read_jsonl
from evqa.registry import Registry
from evqa.runs import find_run, read_manifest

LINEAGE_KEYS = ("git_commit", "command", "seed", "versions", "config", "dataset", "base")


def release(config: ReleaseConfig, _folder: Path) -> None:
    """Merge, prove parity and register; the new version becomes the candidate."""
    outputs_dir = Path(config.paths.outputs_dir)
    run = find_run(outputs_dir, config.run)
    manifest = read_manifest(run)
    check_adapter(run / "adapter")
    base = base_path(run, manifest)
    questions = parity_questions(config, manifest)
    nf4 = trained_quantization(config, manifest)
    registry = Registry(registry_folder(config), config.registry.name)
    _quiet_transformers()
    with registry.staging() as staged:
        _say(f"asking the adapter of {run.name} {len(questions)} questions")
        observed = _observe_adapter(config, base, run / "adapter", questions, nf4)
        _say(f"merging it into {base} ({config.export.dtype})")
        merge_adapter(
            base,
            run / "adapter",
            staged,
            config.export.dtype,
            config.export.max_shard_gib,
            nf4,
        )
        _say("asking the merged model the same questions")
        report = _compare_merged(config, staged, observed)
        check_parity(report, config.export.parity)
        lineage = collect_lineage(config, run, manifest, report)
        write_text(staged / "README.md", model_card(config.registry.name, lineage))
        version = registry.publish(staged, lineage)
    _print_result(config, registry, version, report)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _quiet_transformers() -> None:
    """Hide the bars of every load; the steps are told instead."""
    from transformers.utils import logging

    logging.disable_progress_bar()


def registry_folder(config: ReleaseConfig) -> Path:
    """Return the registry's folder: as configured, else in the outputs folder."""
    return Path(config.registry.folder or Path(config.paths.outputs_dir) / "registry")


def base_path(run: Path, manifest: dict[str, Any]) -> str:
    """Return the base model that a run's manifest names: a folder or a hub id.

    Raises:
        UserError: when the manifest names none, it is gone, or its weights have changed.
    """
    base = manifest.get("base") or {}
    if not base.get("path"):
        raise UserError(f"{run / 'manifest.json'}: base.path is missing; train again")
    path = str(base["path"])
    check_base(path)
    recorded = base.get("sha256")
    if recorded and Path(path).is_dir() and weights_sha256(Path(path)) != recorded:
        raise UserError(
            f"{path}: the base model's weights are not those that were trained on (sha256 "
            "differs); put them back, or train again"
        )
    return path


def parity_questions(config: ReleaseConfig, manifest: dict[str, Any]) -> list[str]:
    """Return the questions that parity is proved on.

    Raises:
        UserError: when neither the config, the run's benchmark nor its dataset has any.
    """
    wanted = config.export.parity.questions
    if wanted and not Path(wanted).is_file():
        raise UserError(f"export.parity.questions: no such file: {wanted}")
    benchmark = ((manifest.get("config") or {}).get("benchmark") or {}).get("path")
    dataset = (manifest.get("dataset") or {}).get("folder")
    files = [wanted, benchmark, dataset and str(Path(dataset) / "pairs.jsonl")]
    for file in filter(None, files):
        questions = _read_questions(Path(file), config.export.parity.num_questions)
        if questions:
            return questions
    raise UserError(
        "export.parity.questions: must be set, the run's benchmark and dataset are gone "
        f"({benchmark}, {dataset})"
    )


def _read_questions(file: Path, count: int) -> list[str]:
    if not file.is_file():
        return []
    questions: list[str] = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        if line.strip() and len(questions) < count:
            questions.append(_question(file, number, line))
    return questions


def _question(file: Path, number: int, line: str) -> str:
    try:
        return str(json.loads(line)["question"])
    except (ValueError, TypeError, KeyError):
        raise UserError(f"{file}:{number}: expected an object with a `question`") from None


def trained_quantization(
    config: ReleaseConfig, manifest: dict[str, Any]
) -> QuantizationConfig | None:
    """Return how training quantised the base, when the merge shall keep those values."""
    recorded = (manifest.get("config") or {}).get("quantization")
    if config.export.base_weights is BaseWeights.original or not recorded:
        return None
    quantization = from_dict(QuantizationConfig, recorded)
    return quantization if quantization.kind is QuantizationKind.nf4 else None


def _observe_adapter(
    config: ReleaseConfig,
    base: str,
    adapter: Path,
    questions: list[str],
    nf4: QuantizationConfig | None,
) -> list[Observation]:
    model = load_with_adapter(base, adapter, config.export.dtype, nf4)
    reference = TransformersGenerator(model, load_tokenizer(adapter))
    observed = observe(reference, questions, config.export.parity.max_new_tokens)
    del model, reference
    gc.collect()  # peft models hold reference cycles; two copies of an 8B base would not fit
    return observed


def _compare_merged(
    config: ReleaseConfig, merged: Path, observed: list[Observation]
) -> ParityReport:
    model = load_model(str(merged), config.export.dtype)
    return compare(observed, TransformersGenerator(model, load_tokenizer(merged)))


def collect_lineage(
    config: ReleaseConfig, run: Path, manifest: dict[str, Any], report: ParityReport
) -> dict[str, Any]:
    """Return what the version's manifest keeps about where its weights come from."""
    metrics = run / "metrics.json"
    return {
        "run": str(run),
        **{key: manifest.get(key) for key in LINEAGE_KEYS},
        "licenses": _licenses(manifest),
        "metrics": read_json(metrics) if metrics.is_file() else None,
        "parity": report.to_dict(),
        "export": to_dict(config.export),
    }


def _licenses(manifest: dict[str, Any]) -> dict[str, int]:
    """Count the licences of the documents trained on; empty where none are recorded."""
    folder = (manifest.get("dataset") or {}).get("folder")
    documents = Path(folder) / "documents.jsonl" if folder else None
    if documents is None or not documents.is_file():
        return {}
    counts = Counter(
        document.license or "unknown"
        for document in read_jsonl(documents, Document)
        if document.split == Split.train
    )
    return dict(counts)


def _print_result(
    config: ReleaseConfig, registry: Registry, version: int, report: ParityReport
) -> None:
    folder = registry.folder(version)
    if config.output is Output.json:
        result = {"name": registry.name, "version": version, "folder": str(folder)}
        sys.stdout.write(json.dumps({**result, "parity": report.to_dict()}) + "\n")
        return
    sys.stdout.write(
        f"registered {registry.name}/{version} (candidate): {folder}\n"
        f"parity: top-1 agreement {report.top1_agreement:.2%}, KL {report.kl_nats:.1e} nats, "
        f"identical answers {report.answer_agreement:.0%} of {report.num_questions}\n"
        f"next: python serve.py; evqa registry promote {registry.name}/{version}\n"
    )


if __name__ == "__main__":
    run_job("release", ReleaseConfig, release)
