"""A whole chain in a folder: raw page, dataset, base, run, registered version, request record."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from records_for_tests import chunk, document, pair

from evqa.files import sha256_bytes, sha256_file, sha256_json, write_json
from evqa.provenance import weights_sha256
from evqa.records import write_jsonl
from evqa.registry import Registry

TEXT = "# Wallboxes\n\nA 7.4 kW wallbox draws 32 A at 230 V. Rain does it no harm."
QUOTE = "A 7.4 kW wallbox draws 32 A at 230 V."
ANSWER = "It draws 32 A at 230 V."
REQUEST = "req-1"


@dataclass
class World:
    """Where each artefact of the chain lies."""

    root: Path
    outputs: Path
    registry: Path
    run: Path
    base: Path
    dataset: Path
    raw: Path
    requests: Path


def sealed(record):
    return {**record, "record_sha256": sha256_json(record)}


def request_record(**changes):
    record = {
        "id": REQUEST,
        "time": "2026-01-01T00:00:00.000+00:00",
        "key_id": "k1",
        "version": "evqa/1",
        "model": "evqa",
        "prompt_sha256": "0" * 64,
        "answer_sha256": sha256_bytes(ANSWER.encode()),
        "status": 200,
        **changes,
    }
    return sealed(record)


def write_requests(world, *records):
    world.requests.parent.mkdir(parents=True, exist_ok=True)
    world.requests.write_text("".join(json.dumps(r) + "\n" for r in records))


@pytest.fixture
def world(tmp_path):
    outputs = tmp_path / "outputs"
    made = World(
        root=tmp_path,
        outputs=outputs,
        registry=outputs / "registry",
        run=outputs / "runs" / "2026-01-01_run",
        base=tmp_path / "base",
        dataset=tmp_path / "prepared" / "sample-1",
        raw=tmp_path / "pages" / "a.html",
        requests=outputs / "serving" / "requests" / "2026-01-01.jsonl",
    )
    build_dataset(made)
    build_run(made)
    build_version(made)
    prompt = [{"role": "user", "content": "How many amps does a wallbox draw?"}]
    write_requests(made, request_record(id="other"), request_record(prompt=prompt, answer=ANSWER))
    return made


def build_dataset(made):
    made.raw.parent.mkdir(parents=True)
    made.raw.write_bytes(b"<html>raw page</html>")
    page = document(
        TEXT,
        sha256=sha256_file(made.raw),
        license="CC-BY-4.0",
        authors=["A. Writer"],
        published="2025-03-01",
        url="https://example.org/wallboxes",
        pages=[[0, 12], [12, len(TEXT)]],
    )
    part = chunk(TEXT, page)
    start = TEXT.index(QUOTE)
    where = {
        "quote": QUOTE,
        "quote_start": start,
        "quote_end": start + len(QUOTE),
        "chunk_id": part.id,
        "document_id": page.id,
    }
    pairs = [
        pair("How many amps does a 7.4 kW wallbox draw?", QUOTE, **where),
        pair("What current does a 7.4 kW wallbox need?", QUOTE, **where),
        pair("Does rain harm a wallbox?", "Rain does it no harm."),
        pair("How many amps does a wallbox draw?", "Secret of the test split.", split="test"),
    ]
    made.dataset.mkdir(parents=True)
    write_jsonl(made.dataset / "documents.jsonl", [page])
    write_jsonl(made.dataset / "chunks.jsonl", [part])
    write_jsonl(made.dataset / "pairs.jsonl", pairs)
    hashes = {path.name: sha256_file(path) for path in sorted(made.dataset.iterdir())}
    write_json(made.dataset / "manifest.json", {"id": made.dataset.name, "sha256": hashes})


def build_run(made):
    made.base.mkdir()
    (made.base / "model.safetensors").write_bytes(b"base weights")
    adapter = made.run / "adapter"
    adapter.mkdir(parents=True)
    (adapter / "adapter_model.safetensors").write_bytes(b"adapter weights")
    manifest = {
        "finished": True,
        "git_commit": "abc123",
        "command": "python train.py",
        "seed": 42,
        "config": {
            "lora": {"r": 16, "alpha": 32.0},
            "sources": {"web": {"folder": "pages"}, "pdf": {"folder": None}},
        },
        "base": {"path": str(made.base), "sha256": weights_sha256(made.base)},
        "dataset": {
            "id": made.dataset.name,
            "folder": str(made.dataset),
            "sha256": sha256_json(json.loads((made.dataset / "manifest.json").read_text())),
        },
    }
    write_json(made.run / "manifest.json", manifest)


def build_version(made):
    registry = Registry(made.registry, "evqa")
    manifest = json.loads((made.run / "manifest.json").read_text())
    lineage = {
        "run": str(made.run),
        "run_manifest_sha256": sha256_file(made.run / "manifest.json"),
        "adapter_sha256": sha256_file(made.run / "adapter" / "adapter_model.safetensors"),
        **{key: manifest[key] for key in ("git_commit", "command", "seed", "config")},
        "base": manifest["base"],
        "dataset": manifest["dataset"],
    }
    with registry.staging() as staged:
        (staged / "model.safetensors").write_bytes(b"merged weights")
        registry.publish(staged, lineage)
