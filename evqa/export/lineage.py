"""Where a version comes from: what its manifest keeps of run, data, evaluation and parity."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evqa.errors import UserError
from evqa.files import read_json, sha256_file
from evqa.records import Document, Split, read_jsonl

LINEAGE_KEYS = ("git_commit", "command", "seed", "versions", "config", "dataset", "base")
EVALUATION_RESULTS = "evaluation_results.json"


def collect_lineage(
    outputs_dir: Path, run: Path, manifest: dict[str, Any], parity: dict[str, Any]
) -> dict[str, Any]:
    """Return what the version's manifest keeps about where its weights come from."""
    evaluation = latest_evaluation(outputs_dir, run)
    return {
        "run": str(run),
        "run_manifest_sha256": sha256_file(run / "manifest.json"),
        "adapter_sha256": sha256_file(run / "adapter" / "adapter_model.safetensors"),
        **{key: manifest.get(key) for key in LINEAGE_KEYS},
        "licenses": licenses(manifest),
        "metrics": evaluation or None,
        "verdict": evaluation.get("verdict"),
        "parity": parity,
    }


def latest_evaluation(outputs_dir: Path, run: Path) -> dict[str, Any]:
    """Return the newest evaluation of a run: an evaluate.py report, else its own quick one.

    Empty when there is neither.
    """
    found = sorted(_evaluations(outputs_dir, run), key=lambda results: str(results["created"]))
    if found:
        return found[-1]
    own = run / "metrics.json"
    return dict(read_json(own)) if own.is_file() else {}


def _evaluations(outputs_dir: Path, run: Path) -> Iterator[dict[str, Any]]:
    for path in (outputs_dir / "evaluations").glob(f"*/{EVALUATION_RESULTS}"):
        try:
            results = read_json(path)
        except UserError:  # another's broken report is no reason to stop a release
            continue
        told = isinstance(results, dict) and results.get("created") and results.get("run")
        if told and Path(results["run"]).resolve() == run.resolve():
            yield results


def licenses(manifest: dict[str, Any]) -> dict[str, int]:
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
