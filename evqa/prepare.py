"""The job that turns sources into a dataset: documents, chunks and question-answer pairs.

``python -m evqa.prepare`` writes ``<prepared_dir>/<dataset-id>/``. The id is made of what goes in
(hashes of the input files, the settings that matter, the code of the three rooms and the versions
of the parsers), so the same inputs are prepared once, on every machine, and `train.py` finds them
again at once.
"""

import dataclasses
import importlib.metadata
import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evqa.build import Builder, Inputs
from evqa.config import PrepareConfig, data_dir, run_job
from evqa.config.data import DataKind, PairGenerator
from evqa.config.jobs import Output
from evqa.errors import UserError
from evqa.files import atomic_folder, folder_lock, read_json, sha256_file, sha256_json, write_json
from evqa.records import Question, read_jsonl
from evqa.sources.collect import collect, describe

ID_HEX_DIGITS = 12
CODE = ("sources", "documents", "qa", "segmentation.py", "language.py", "prepare.py", "build.py")
PARSERS = ("newspaper4k", "trafilatura", "lxml", "pypdf", "datasketch")
# Settings of qa that change what is made; concurrency, keys and budgets do not.
QA_SETTINGS = (
    "generator",
    "categories",
    "category_keywords",
    "max_pairs_per_chunk",
    "confirmations",
    "overlap_likeness",
    "category_quota",
    "difficulty_quota",
    "judge",
)
TOGETHER_SETTINGS = (
    "model",
    "base_url",
    "max_completion_tokens",
    "temperature",
    "difficulty_mix",
    "num_paraphrases",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedDataset:
    """A dataset on disk.

    Attributes:
        id: ``<data.name>-<12 hex digits>``.
        folder: Holds ``documents.jsonl chunks.jsonl pairs.jsonl dropped.jsonl ledger.json
            contamination.json manifest.json``.
        manifest: What it was made from, and its counts.
    """

    id: str
    folder: Path
    manifest: dict[str, Any]


def prepare_dataset(config: PrepareConfig) -> PreparedDataset:
    """Return the dataset that the config asks for, made now unless it is there already.

    Raises:
        UserError: for missing folders, files or documents, and when no pair is left.
        GateError: when the benchmark leaks, or the ledger does not balance.
        OutsideError: when an API or the hub fails.
    """
    _check_before_fetching(config)
    inputs = gather(config)
    identity = identify(config, inputs)
    folder = _folder(config, identity)
    if not (folder / "manifest.json").is_file():
        with folder_lock(folder.parent):
            if not (folder / "manifest.json").is_file():
                _make(config, inputs, identity, folder)
    return _read(folder)


def find_dataset(config: PrepareConfig) -> PreparedDataset | None:
    """Return the dataset that the config asks for if it is there already.

    Raises:
        UserError: for missing folders, files or documents.
        OutsideError: when the hub fails.
    """
    _check_before_fetching(config)
    folder = _folder(config, identify(config, gather(config)))
    return _read(folder) if (folder / "manifest.json").is_file() else None


def _folder(config: PrepareConfig, identity: dict[str, Any]) -> Path:
    dataset_id = f"{config.data.name}-{sha256_json(identity)[:ID_HEX_DIGITS]}"
    return Path(config.paths.prepared_dir) / dataset_id


def _read(folder: Path) -> PreparedDataset:
    return PreparedDataset(
        id=folder.name, folder=folder, manifest=read_json(folder / "manifest.json")
    )


def _check_before_fetching(config: PrepareConfig) -> None:
    if config.data.kind is not DataKind.corpus:
        return
    from evqa.sources.extras import check_extras

    check_extras(config.sources)
    if config.qa.generator is PairGenerator.together or config.qa.judge:
        from evqa.qa.client import check_ready

        check_ready(config.qa)


def gather(config: PrepareConfig) -> Inputs:
    """Return the input files, after fetching the URLs, and the benchmark's questions.

    Raises:
        UserError: when a corpus has no document, naming where it was looked for.
    """
    questions = load_benchmark(config.benchmark.path)
    if config.data.kind is not DataKind.corpus:
        return Inputs(files=[], failed=[], questions=questions)
    files, failed = collect(config.sources, Path(config.paths.outputs_dir) / "cache" / "http")
    if not files:
        reasons = f"; {len(failed)} fetches failed, first: {failed[0].detail}" if failed else ""
        raise UserError(
            f"no input documents: {describe(config.sources)}{reasons}; set sources.web.folder, "
            "sources.web.urls, sources.pdf.folder or sources.text.folder"
        )
    return Inputs(files=files, failed=failed, questions=questions)


def load_benchmark(path: str) -> list[Question]:
    """Return the benchmark's questions; none when no benchmark is set.

    Raises:
        UserError: when the file is missing or a line is no question.
    """
    if not path:
        return []
    if not Path(path).is_file():
        raise UserError(f"benchmark.path={path}: no such file; set benchmark.path=questions.jsonl")
    return list(read_jsonl(Path(path), Question))


def identify(config: PrepareConfig, inputs: Inputs) -> dict[str, Any]:
    """Return everything that decides what the dataset holds, and nothing of where it lies."""
    password = config.sources.pdf.password_env
    names: tuple[str, ...] = QA_SETTINGS
    if config.qa.generator is PairGenerator.together or config.qa.judge:
        names += TOGETHER_SETTINGS
    return {
        "files": [[raw.kind, raw.source, raw.sha256] for raw in inputs.files],
        "failed": [[drop.source, drop.reason] for drop in inputs.failed],
        "benchmark": _hash_of(config.benchmark.path),
        "allow_leaks": config.benchmark.allow_leaks,
        "pairs_file": _hash_of(config.data.pairs_file),
        "data": _data_identity(config),
        "web_extractor": config.sources.web.extractor,
        "pdf_extractor": config.sources.pdf.extractor,
        "pdf_password": bool(password and os.environ.get(password)),
        "documents": dataclasses.asdict(config.documents),
        "qa": {name: getattr(config.qa, name) for name in names},
        "code": code_hash(),
        "wordings": sha256_file(data_dir() / "benchmark" / "wordings.json"),
        "parsers": {name: importlib.metadata.version(name) for name in PARSERS},
    }


def _data_identity(config: PrepareConfig) -> list[str | None]:
    data = config.data
    if data.kind is DataKind.hub:
        return [data.kind, data.path, data.hub_split]
    return [data.kind, _hash_of(data.path)]


def _hash_of(path: str | None) -> str | None:
    return sha256_file(Path(path)) if path and Path(path).is_file() else None


def code_hash() -> str:
    """Return the hash of the code and prompts that make datasets."""
    package = Path(__file__).parent
    found: list[Path] = []
    for name in CODE:
        place = package / name
        found += [place] if place.is_file() else place.rglob("*")
    kept = sorted(path for path in found if path.suffix in (".py", ".txt", ".json"))
    return sha256_json([[p.relative_to(package).as_posix(), sha256_file(p)] for p in kept])


def _make(config: PrepareConfig, inputs: Inputs, identity: dict[str, Any], folder: Path) -> None:
    """Make the dataset and publish its folder in one step."""
    _remove_leftovers(folder.parent)
    with atomic_folder(folder) as made:
        found = Builder(config, inputs, made).build()
        files = sorted(path for path in made.rglob("*") if path.is_file())
        hashes = {path.relative_to(made).as_posix(): sha256_file(path) for path in files}
        manifest = {"id": folder.name, "counts": found, "sha256": hashes, "made_from": identity}
        write_json(made / "manifest.json", manifest)


def _remove_leftovers(prepared: Path) -> None:
    """Remove what a killed process left; the lock on the folder says that no other is at work."""
    for path in [*prepared.glob(".*.tmp"), *prepared.glob(".*.old")]:
        shutil.rmtree(path, ignore_errors=True)


def show(dataset: PreparedDataset, output: Output) -> None:
    """Print the dataset's folder and ledger: a table for people, JSON for programs."""
    ledger = read_json(dataset.folder / "ledger.json")
    found = dataset.manifest["counts"]
    if output is Output.json:
        row = {"id": dataset.id, "folder": str(dataset.folder.resolve()), "counts": found}
        sys.stdout.write(
            json.dumps({**row, "ledger": ledger["stages"]}, ensure_ascii=False) + "\n"
        )
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("stage", "in", "kept", "dropped", title=f"ledger of {dataset.id}")
    for stage in ledger["stages"]:
        reasons = ", ".join(f"{count} {reason}" for reason, count in stage["dropped"].items())
        table.add_row(stage["stage"], str(stage["in"]), str(stage["kept"]), reasons)
    console = Console()
    console.print(table)
    splits = ", ".join(f"{count} {split}" for split, count in found["pairs_by_split"].items())
    certificate = read_json(dataset.folder / "contamination.json")
    if certificate["leaks_allowed"]:
        console.print(
            f"{certificate['num_remaining']} hand-made pairs say what the benchmark says "
            "(benchmark.allow_leaks; listed in contamination.json)"
        )
    console.print(
        f"{found['documents']} documents, {found['chunks']} chunks, {found['pairs']} pairs "
        f"({splits})\n{dataset.folder}",
        highlight=False,
        soft_wrap=True,
    )


def _job(config: PrepareConfig, _folder: Path) -> None:
    show(prepare_dataset(config), config.output)


if __name__ == "__main__":
    run_job("prepare", PrepareConfig, _job)
