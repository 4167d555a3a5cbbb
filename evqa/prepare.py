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
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evqa.config import PrepareConfig, run_job
from evqa.config.data import DataKind, PairGenerator
from evqa.config.jobs import Output
from evqa.errors import GateError, UserError
from evqa.files import atomic_folder, folder_lock, read_json, sha256_file, sha256_json, write_json
from evqa.ledger import Ledger
from evqa.records import Chunk, Document, Dropped, QAPair, Question, read_jsonl, write_jsonl
from evqa.sources.collect import collect, describe
from evqa.sources.raw import RawFile

ID_HEX_DIGITS = 12
CODE = ("sources", "documents", "qa", "segmentation.py", "prepare.py")
PARSERS = ("newspaper4k", "trafilatura", "lxml", "pypdf", "datasketch")
# Settings of qa that change what is made; concurrency, keys and budgets do not.
QA_SETTINGS = (
    "generator",
    "categories",
    "category_keywords",
    "max_pairs_per_chunk",
    "overlap_cosine",
)
TOGETHER_SETTINGS = ("model", "base_url", "max_completion_tokens", "temperature")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What a dataset is made from."""

    files: list[RawFile]
    failed: list[Dropped]
    questions: list[Question]


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
    dataset_id = f"{config.data.name}-{sha256_json(identity)[:ID_HEX_DIGITS]}"
    folder = Path(config.paths.prepared_dir) / dataset_id
    if not (folder / "manifest.json").is_file():
        with folder_lock(folder.parent):
            if not (folder / "manifest.json").is_file():
                _make(config, inputs, identity, folder)
    return PreparedDataset(
        id=dataset_id, folder=folder, manifest=read_json(folder / "manifest.json")
    )


def _check_before_fetching(config: PrepareConfig) -> None:
    if config.data.kind is DataKind.corpus and config.qa.generator is PairGenerator.together:
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
    if config.qa.generator is PairGenerator.together:
        names += TOGETHER_SETTINGS
    return {
        "files": [[raw.kind, raw.source, raw.sha256] for raw in inputs.files],
        "failed": [[drop.source, drop.reason] for drop in inputs.failed],
        "benchmark": _hash_of(config.benchmark.path),
        "pairs_file": _hash_of(config.data.pairs_file),
        "data": _data_identity(config),
        "web_extractor": config.sources.web.extractor,
        "pdf_extractor": config.sources.pdf.extractor,
        "pdf_password": bool(password and os.environ.get(password)),
        "documents": dataclasses.asdict(config.documents),
        "qa": {name: getattr(config.qa, name) for name in names},
        "code": code_hash(),
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
    ledger = Ledger()
    documents, chunks, pairs, contamination = _build(config, inputs, ledger)
    if not pairs:
        raise UserError(
            f"no question-answer pair is left of {len(documents)} documents and {len(chunks)} "
            f"chunks ({_commonest_reasons(ledger)}); give more documents or loosen documents.*"
        )
    ledger.check()
    with atomic_folder(folder) as made:
        write_jsonl(made / "documents.jsonl", documents)
        write_jsonl(made / "chunks.jsonl", chunks)
        write_jsonl(made / "pairs.jsonl", pairs)
        ledger.write(made)
        write_json(made / "contamination.json", contamination)
        hashes = {path.name: sha256_file(path) for path in sorted(made.iterdir())}
        manifest = {
            "id": folder.name,
            "counts": counts(documents, chunks, pairs),
            "sha256": hashes,
            "made_from": identity,
        }
        write_json(made / "manifest.json", manifest)


def _commonest_reasons(ledger: Ledger) -> str:
    reasons: Counter[str] = Counter()
    for stage in ledger.stages():
        reasons.update(stage.dropped)
    return ", ".join(f"{count} {reason}" for reason, count in reasons.most_common(3)) or "no drops"


Built = tuple[list[Document], list[Chunk], list[QAPair], dict[str, Any]]


def _build(config: PrepareConfig, inputs: Inputs, ledger: Ledger) -> Built:
    from evqa.documents.corpus import build_corpus, clean_and_filter, closest_training_documents
    from evqa.qa.imported import load_imported
    from evqa.qa.pairs import (
        generate_pairs,
        passages_of,
        shipped_pairs,
        validated,
        without_benchmark,
    )

    documents: list[Document] = []
    chunks: list[Chunk] = []
    if config.data.kind is DataKind.corpus:
        read = _read(inputs, config, ledger)
        cleaned = clean_and_filter(read, config.documents, ledger)
        corpus = build_corpus(cleaned, inputs.questions, config.documents, ledger)
        documents, chunks = corpus.documents, corpus.chunks
        passages = passages_of(documents, chunks)
        pairs: list[QAPair] = []
        if config.data.pairs_file:
            path = Path(config.data.pairs_file)
            pairs += shipped_pairs(path, documents, passages, corpus.left_out)
        cache = Path(config.paths.outputs_dir) / "cache" / "llm"
        pairs += generate_pairs(passages, config.qa, cache, ledger)
    else:
        pairs = load_imported(config.data, config.documents)
    sources = {document.id: document.source for document in documents}
    pairs = validated(pairs, chunks, sources, ledger)
    closest = closest_training_documents(documents)
    _refuse_leaking_documents(closest, config.documents.near_duplicate_jaccard)
    found = without_benchmark(pairs, inputs.questions, closest, config.qa, ledger, sources)
    return documents, chunks, found.pairs, found.certificate


def _refuse_leaking_documents(closest: Iterable[dict[str, Any]], least: float) -> None:
    for row in closest:
        if row["jaccard"] >= least:
            raise GateError(
                f"contamination: held-out document {row['source']} is nearly training document "
                f"{row['closest']} (Jaccard {row['jaccard']}); hold out both, or neither"
            )


def _read(inputs: Inputs, config: PrepareConfig, ledger: Ledger) -> Iterable[Document]:
    """Yield the documents that can be read; the others are dropped with a reason."""
    from evqa.sources.read import read_all

    if inputs.failed:
        _account_fetches(inputs, ledger)
    for result in _with_progress(read_all(inputs.files, config.sources), len(inputs.files)):
        ledger.enter("read")
        if isinstance(result, Document):
            ledger.keep("read")
            yield result
        else:
            ledger.drop(**dataclasses.asdict(result))


def _account_fetches(inputs: Inputs, ledger: Ledger) -> None:
    num_fetched = sum(raw.fetched is not None for raw in inputs.files)
    ledger.enter("fetch", num_fetched + len(inputs.failed))
    ledger.keep("fetch", num_fetched)
    for drop in inputs.failed:
        ledger.drop(**dataclasses.asdict(drop))


def _with_progress(results: Iterable[Any], total: int) -> Iterable[Any]:
    if not sys.stderr.isatty():
        return results
    from rich.console import Console
    from rich.progress import track

    return track(results, "reading", total, console=Console(stderr=True), transient=True)


def counts(
    documents: Sequence[Document], chunks: Sequence[Chunk], pairs: Sequence[QAPair]
) -> dict[str, Any]:
    """Return how many there are of each, by what matters."""

    def by(records: Iterable[Any], name: str) -> dict[str, int]:
        return dict(sorted(Counter(getattr(record, name) for record in records).items()))

    return {
        "documents": len(documents),
        "chunks": len(chunks),
        "pairs": len(pairs),
        "documents_by_split": by(documents, "split"),
        "pairs_by_split": by(pairs, "split"),
        "pairs_by_generator": by(pairs, "generator"),
        "pairs_by_category": by(pairs, "category"),
        "pairs_by_difficulty": by(pairs, "difficulty"),
    }


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
