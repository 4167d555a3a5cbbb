"""``python -m evqa.release``: merge a run's adapter, prove parity, register a version."""

import gc
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evqa.config import ReleaseConfig, from_dict, run_job, to_dict
from evqa.config.jobs import Output
from evqa.config.model import QuantizationConfig, QuantizationKind
from evqa.config.serving import BaseWeights, ExportQuantization
from evqa.delivery import check_before, prove_served, push, write_gguf
from evqa.errors import UserError
from evqa.export.adapter import check_adapter
from evqa.export.card import model_card
from evqa.export.lineage import collect_lineage
from evqa.export.loading import check_base
from evqa.export.parity import Observation, ParityReport, check_parity
from evqa.export.questions import parity_questions
from evqa.files import write_text
from evqa.provenance import weights_sha256
from evqa.registry import Registry
from evqa.runs import find_run, read_manifest


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that may become the version: its folder, and how near it is to the adapter."""

    label: str
    folder: Path
    report: ParityReport


def release(config: ReleaseConfig, _folder: Path) -> None:
    """Merge, prove parity and register; the new version becomes the candidate."""
    release_run(config, {})


def release_run(config: ReleaseConfig, marks: dict[str, Any]) -> int:
    """Release a run and return the version's number.

    Args:
        config: Which run, and how.
        marks: What else the version's lineage keeps.
    """
    outputs_dir = Path(config.paths.outputs_dir)
    run = find_run(outputs_dir, config.run)
    manifest = read_manifest(run)
    check_adapter(run / "adapter")
    check_before(config)
    base = base_path(run, manifest)
    questions = parity_questions(config.export.parity, manifest)
    registry = Registry(registry_folder(config), config.registry.name)
    _quiet_transformers()
    with registry.staging() as staged:
        _say(f"asking the adapter of {run.name} {len(questions)} questions")
        observed = _observe_adapter(config, run, manifest, questions)
        candidates = [
            _merge(config, label, nf4, base, run / "adapter", staged, observed)
            for label, nf4 in merge_options(config, manifest)
        ]
        chosen = min(candidates, key=lambda candidate: candidate.report.kl_nats)
        check_parity(chosen.report, config.export.parity)
        if config.export.quantization is not ExportQuantization.none:
            chosen = _quantize(config, chosen, staged, observed)
            candidates.append(chosen)
        served = prove_served(config, chosen.folder, observed)
        if served is not None:
            candidates.append(Candidate("served", chosen.folder, served))
        write_gguf(config.export, chosen.folder)
        lineage = collect_lineage(outputs_dir, run, manifest, _parity_record(chosen, candidates))
        lineage |= {"export": to_dict(config.export), **marks}
        write_text(chosen.folder / "README.md", model_card(config.registry.name, lineage))
        version = registry.publish(chosen.folder, lineage)
    _print_result(config, registry, version, chosen)
    push(config.registry, registry, version)
    return version


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


def merge_options(
    config: ReleaseConfig, manifest: dict[str, Any]
) -> list[tuple[str, QuantizationConfig | None]]:
    """Return which base weights to merge into, by name, with their NF4 form (None: as they are).

    Where training was not in NF4 the two are the same, and there is one option.
    """
    recorded = (manifest.get("config") or {}).get("quantization")
    quantization = from_dict(QuantizationConfig, recorded) if recorded else None
    original: tuple[str, QuantizationConfig | None] = ("original", None)
    if quantization is None or quantization.kind is not QuantizationKind.nf4:
        return [original]
    wanted = config.export.base_weights
    options = [("trained", quantization), original]
    return options if wanted is BaseWeights.best else [o for o in options if o[0] == wanted]


def _observe_adapter(
    config: ReleaseConfig, run: Path, manifest: dict[str, Any], questions: list[str]
) -> list[Observation]:
    """Ask the adapter on its quantised base, loaded as evaluation loads it."""
    from evqa.export.generator import TransformersGenerator
    from evqa.export.parity import observe
    from evqa.models.tuned import load_tuned

    tuned = load_tuned(run, manifest)
    reference = TransformersGenerator(tuned.model, tuned.tokenizer)
    observed = observe(reference, questions, config.export.parity.max_new_tokens)
    del tuned, reference
    gc.collect()  # peft models hold reference cycles; two copies of an 8B base would not fit
    return observed


def _merge(
    config: ReleaseConfig,
    label: str,
    nf4: QuantizationConfig | None,
    base: str,
    adapter: Path,
    staged: Path,
    observed: list[Observation],
) -> Candidate:
    from evqa.export.merge import merge_adapter

    export = config.export
    _say(f"merging it into {base} ({label} weights, {export.dtype})")
    folder = staged / label
    folder.mkdir()
    merge_adapter(base, adapter, folder, export.dtype, export.max_shard_gib, nf4)
    return _compared(config, label, folder, observed)


def _quantize(
    config: ReleaseConfig, merged: Candidate, staged: Path, observed: list[Observation]
) -> Candidate:
    """Return the quantised form of a merged model.

    Raises:
        GateError: it says something else than the adapter on its base.
    """
    from evqa.export.quantize import quantize_checkpoint

    kind = config.export.quantization
    _say(f"quantising it ({kind})")
    folder = staged / str(kind)
    folder.mkdir()
    quantize_checkpoint(merged.folder, folder, kind, config.export.max_shard_gib)
    candidate = _compared(config, f"{merged.label}, {kind}", folder, observed)
    check_parity(candidate.report, config.export.quantized_parity, "export.quantized_parity")
    return candidate


def _compared(
    config: ReleaseConfig, label: str, folder: Path, observed: list[Observation]
) -> Candidate:
    from evqa.export.generator import TransformersGenerator
    from evqa.export.loading import load_model, load_tokenizer
    from evqa.export.parity import compare

    model = load_model(str(folder), config.export.dtype)
    report = compare(observed, TransformersGenerator(model, load_tokenizer(folder)))
    _say(f"  {label}: KL {report.kl_nats:.1e} nats, top-1 {report.top1_agreement:.2%}")
    return Candidate(label, folder, report)


def _parity_record(chosen: Candidate, candidates: list[Candidate]) -> dict[str, Any]:
    """Return the chosen model's figures, and those of all that were compared."""
    compared = {candidate.label: candidate.report.to_dict() for candidate in candidates}
    return {**chosen.report.to_dict(), "weights": chosen.label, "compared": compared}


def _print_result(
    config: ReleaseConfig, registry: Registry, version: int, chosen: Candidate
) -> None:
    folder = registry.folder(version)
    report = chosen.report
    if config.output is Output.json:
        result = {"name": registry.name, "version": version, "folder": str(folder)}
        sys.stdout.write(json.dumps({**result, "parity": report.to_dict()}) + "\n")
        return
    sys.stdout.write(
        f"registered {registry.name}/{version} (candidate): {folder}\n"
        f"parity ({chosen.label}): top-1 agreement {report.top1_agreement:.2%}, "
        f"KL {report.kl_nats:.1e} nats, perplexity ×{report.perplexity_ratio:.4f}, "
        f"identical answers {report.answer_agreement:.0%} of {report.num_questions}\n"
        f"next: python serve.py; evqa registry promote {registry.name}/{version}\n"
    )


if __name__ == "__main__":
    run_job("release", ReleaseConfig, release)
