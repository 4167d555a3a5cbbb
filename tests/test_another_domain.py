"""Heat pumps by config and data alone: nothing in the package knows what the documents are about."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from evqa.config import data_dir
from evqa.records import Document, QAPair, Question, Split, read_jsonl

ROOT = Path(__file__).parents[1]
DOMAIN = re.compile(
    r"\b(?:EVs?|BEVs?|electric (?:vehicle|car)|wallbox|EVSE|charging (?:station|point))\b"
)
CATEGORIES = {"operation", "efficiency", "sizing", "placement", "sources", "costs"}
QUICK = [
    "experiment=heat_pumps", "logger=none", "trainer.max_steps=3", "trainer.num_epochs=1",
    "model.pretrain.num_epochs=1", "metrics.bootstrap_samples=100",
]  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    place = tmp_path_factory.mktemp("heat")
    done = subprocess.run(
        [sys.executable, "train.py", *QUICK, f"paths.outputs_dir={place}/out",
         f"paths.prepared_dir={place}/prepared"],
        cwd=ROOT, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return place


def prepared(place):
    (folder,) = (place / "prepared").glob("heat_pumps-*")
    return folder


def test_its_pages_become_pairs_of_its_own_categories(trained):
    folder = prepared(trained)
    documents = list(read_jsonl(folder / "documents.jsonl", Document))
    pairs = list(read_jsonl(folder / "pairs.jsonl", QAPair))
    assert len(documents) == 10
    assert len(pairs) >= 40
    assert {pair.category for pair in pairs} <= CATEGORIES
    assert all("Imprint" not in document.text for document in documents)


def test_its_held_out_pages_are_not_trained_on(trained):
    folder = prepared(trained)
    questions = list(read_jsonl(data_dir() / "benchmark" / "heat_pumps.jsonl", Question))
    held_out = {q.source for q in questions if q.split == "held_out"}
    assert len(held_out) == 2
    trained_on = {
        Path(document.source).name
        for document in read_jsonl(folder / "documents.jsonl", Document)
        if document.split == Split.train
    }
    assert not trained_on & held_out


def test_its_model_is_compared_on_its_benchmark(trained):
    made = json.loads((trained / "out" / "runs" / "latest" / "metrics.json").read_text())
    assert made["num_questions"] == 20
    assert set(made["by_category"]) <= CATEGORIES


def test_nothing_in_the_package_names_the_shipped_domain():
    for path in sorted((ROOT / "evqa").rglob("*")):
        if path.suffix in (".py", ".txt", ".j2", ".json"):
            found = DOMAIN.search(path.read_text(encoding="utf-8"))
            assert found is None, f"{path.relative_to(ROOT)}: {found}"
