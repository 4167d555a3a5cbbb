"""``evqa trace``: a served answer back to version, run, training pairs, chunk, document, licence.

Every link is hashed again on the way; what has changed is named, and the walk goes on as far as
it can, so that one look tells all that is broken.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evqa.files import read_json, sha256_json
from evqa.lineage.chain import Chain, Link, hash_problem
from evqa.lineage.nearest import nearest_pairs
from evqa.lineage.requests import check_answer, find_request, question_of
from evqa.provenance import weights_sha256
from evqa.records import Chunk, Document, QAPair, Split, read_jsonl
from evqa.registry import Registry, parse_reference
from evqa.runs import read_manifest

DATASET_FILES = ("pairs.jsonl", "chunks.jsonl", "documents.jsonl")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A training pair near to the answer, and where it stands.

    Attributes:
        similarity: 0 to 1; see `evqa.lineage.nearest`.
        page: 1-based PDF page of the quote; null where the document has none.
    """

    similarity: float
    pair: QAPair
    chunk: Chunk | None
    document: Document | None
    page: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What a request's chain was found to be.

    Attributes:
        answer: The served text, when it is known.
        facts: What the run says of itself: commit, seed, command, base, data.
        evidence: Nearest training pairs; empty without the answer's text.
    """

    request: dict[str, Any]
    links: list[Link]
    answer: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    evidence: list[Evidence] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        """One line for each broken link."""
        return Chain(list(self.links)).problems


def trace(
    outputs_dir: Path,
    registry_dir: Path,
    project_dir: Path,
    request_id: str,
    answer: str | None = None,
    num_nearest: int = 3,
) -> Trace:
    """Follow a request to its documents.

    Args:
        outputs_dir: Holds ``serving/requests``.
        registry_dir: The registry's folder.
        project_dir: What relative paths of a run's config count from.
        request_id: The ``x-request-id`` of the reply.
        answer: The answer's text, when it was not recorded.
        num_nearest: How many training pairs to show.

    Raises:
        UserError: no such request.
    """
    chain = Chain()
    record = find_request(chain, outputs_dir / "serving" / "requests", request_id)
    if record is None:
        return Trace(request={"id": request_id}, links=chain.links)
    text = check_answer(chain, record, answer)
    lineage = _version(chain, registry_dir, str(record.get("version")))
    manifest = _run(chain, lineage) if lineage is not None else None
    evidence: list[Evidence] = []
    if lineage is not None:
        _base(chain, lineage)
        folder = _dataset(chain, lineage)
        if folder is not None and text is not None:
            wanted = f"{question_of(record)} {text}"
            evidence = _evidence(chain, folder, wanted, num_nearest)
            _sources(chain, evidence, lineage, project_dir)
    facts = _facts(manifest or lineage or {})
    return Trace(request=record, links=chain.links, answer=text, facts=facts, evidence=evidence)


def _version(chain: Chain, registry_dir: Path, reference: str) -> dict[str, Any] | None:
    """Hash the version's files again; return its lineage."""

    def read() -> tuple[list[str], dict[str, Any]]:
        name, number = parse_reference(reference)
        registry = Registry(registry_dir, name)
        version = registry.resolve(number)
        problems = registry.problems(version)
        return problems, registry.manifest(version).lineage

    found = chain.read("version", reference, read)
    if found is None:
        return None
    problems, lineage = found
    chain.add("version", reference, "; ".join(problems) or None)
    return dict(lineage)


def _run(chain: Chain, lineage: dict[str, Any]) -> dict[str, Any] | None:
    """Hash the run's manifest and adapter again; return the manifest."""
    run = Path(lineage.get("run") or "")
    problem = hash_problem(run / "manifest.json", lineage.get("run_manifest_sha256"))
    chain.add("run", run.name, problem)
    adapter = run / "adapter" / "adapter_model.safetensors"
    chain.add("adapter", run.name, hash_problem(adapter, lineage.get("adapter_sha256")))
    if problem is not None:
        return None
    manifest: dict[str, Any] | None = chain.read("run", run.name, lambda: read_manifest(run))
    return manifest


def _base(chain: Chain, lineage: dict[str, Any]) -> None:
    base = lineage.get("base") or {}
    folder = Path(base.get("path") or "")
    if not base.get("path") or not folder.is_dir():
        chain.add("base", str(base.get("path")), note="its folder is not here; not hashed again")
        return
    changed = weights_sha256(folder) != base.get("sha256")
    chain.add("base", folder.name, f"{folder}: weights have changed" if changed else None)


def _dataset(chain: Chain, lineage: dict[str, Any]) -> Path | None:
    """Hash the dataset's files again; return its folder when they can be read."""
    dataset = lineage.get("dataset") or {}
    name, folder = str(dataset.get("id")), Path(dataset.get("folder") or "")
    manifest = chain.read("dataset", name, lambda: read_json(folder / "manifest.json"))
    if manifest is None:
        return None
    changed = sha256_json(manifest) != dataset.get("sha256")
    whole = chain.add(
        "dataset", name, f"{folder / 'manifest.json'}: content has changed" if changed else None
    )
    hashes = manifest.get("sha256") or {} if whole else {}
    for file in DATASET_FILES:
        problem = hash_problem(folder / file, hashes.get(file)) if whole else None
        whole = chain.add(file.removesuffix(".jsonl"), name, problem) and whole
    return folder if whole else None


def _evidence(chain: Chain, folder: Path, text: str, count: int) -> list[Evidence]:
    pairs = [
        pair for pair in read_jsonl(folder / "pairs.jsonl", QAPair) if pair.split == Split.train
    ]
    chunks = {chunk.id: chunk for chunk in read_jsonl(folder / "chunks.jsonl", Chunk)}
    documents = {d.id: d for d in read_jsonl(folder / "documents.jsonl", Document)}
    evidence = []
    for near in nearest_pairs(text, pairs, count):
        chunk = chunks.get(near.pair.chunk_id or "")
        document = documents.get(near.pair.document_id or "")
        page = _page(near.pair, chunk, document)
        chain.add("pair", near.pair.id, _misplaced(near.pair, chunk, document))
        evidence.append(
            Evidence(
                similarity=near.similarity,
                pair=near.pair,
                chunk=chunk,
                document=document,
                page=page,
            )
        )
    return evidence


def _misplaced(pair: QAPair, chunk: Chunk | None, document: Document | None) -> str | None:
    """Return what is wrong when quote, chunk and document do not stand where they say."""
    if pair.quote is None or chunk is None or document is None:
        return None
    if chunk.text[pair.quote_start : pair.quote_end] != pair.quote:
        return f"its quote does not stand in {chunk.id}"
    if document.text[chunk.start : chunk.end] != chunk.text:
        return f"{chunk.id} does not stand in {document.id}"
    return None


def _page(pair: QAPair, chunk: Chunk | None, document: Document | None) -> int | None:
    if chunk is None or document is None:
        return None
    at = chunk.start + (pair.quote_start or 0)
    pages = [n for n, (start, end) in enumerate(document.pages, start=1) if start <= at < end]
    return pages[0] if pages else chunk.page


def _sources(
    chain: Chain, evidence: list[Evidence], lineage: dict[str, Any], project_dir: Path
) -> None:
    """Hash the raw files of the documents again, where they are still here."""
    sources = (lineage.get("config") or {}).get("sources") or {}
    folders = [
        project_dir / source["folder"]
        for source in sources.values()
        if isinstance(source, dict) and source.get("folder")
    ]
    for document in {e.document.id: e.document for e in evidence if e.document}.values():
        files = [folder / document.source for folder in folders]
        here = next((file for file in files if file.is_file()), None)
        if here is None:
            note = f"not a file here; sha256 {document.sha256[:12]} when fetched"
            chain.add("source", document.source, note=note)
        else:
            chain.add("source", document.source, hash_problem(here, document.sha256))


def _facts(manifest: dict[str, Any]) -> dict[str, Any]:
    config = manifest.get("config") or {}
    lora = config.get("lora") or {}
    return {
        "git commit": manifest.get("git_commit"),
        "command": manifest.get("command"),
        "seed": manifest.get("seed"),
        "base": (manifest.get("base") or {}).get("path"),
        "adapter": f"r={lora.get('r')} alpha={lora.get('alpha')}" if lora else None,
        "dataset": (manifest.get("dataset") or {}).get("id"),
    }
