"""Reproduction: what must be the same is, what is not is named, and why it may not be."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from evqa.files import sha256_json, write_json
from evqa.lineage.reproduce import (
    Compared,
    Reproduction,
    compare_dataset,
    compare_version,
    surroundings,
)
from evqa.provenance import instruction_sets, package_versions

ROOT = Path(__file__).parents[2]


def dataset(folder, **contents):
    folder.mkdir()
    for name in ("documents", "chunks", "pairs"):
        (folder / f"{name}.jsonl").write_text(contents.get(name, name))
    from evqa.files import sha256_file

    hashes = {f.name: sha256_file(f) for f in sorted(folder.iterdir())}
    write_json(folder / "manifest.json", {"sha256": hashes})
    manifest = json.loads((folder / "manifest.json").read_text())
    return {"folder": str(folder), "sha256": sha256_json(manifest)}


def test_a_dataset_is_compared_file_by_file(tmp_path):
    recorded = dataset(tmp_path / "a")
    dataset(tmp_path / "b", pairs="others")
    same = {one.name: one.same for one in compare_dataset(recorded, tmp_path / "b")}
    assert same == {"documents": True, "chunks": True, "pairs": False}


def test_a_dataset_that_is_gone_is_compared_as_a_whole(tmp_path):
    recorded = dataset(tmp_path / "a")
    dataset(tmp_path / "b")
    dataset(tmp_path / "c", chunks="others")
    shutil.rmtree(tmp_path / "a")
    assert [one.same for one in compare_dataset(recorded, tmp_path / "b")] == [True]
    assert [one.same for one in compare_dataset(recorded, tmp_path / "c")] == [False]


def test_a_version_is_compared_but_for_its_card(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    from evqa.files import sha256_file

    files = {
        "config.json": {"sha256": sha256_file(tmp_path / "config.json")},
        "model.safetensors": {"sha256": "0" * 64},
        "README.md": {"sha256": "1" * 64},
    }
    same = {one.name: one.same for one in compare_version(files, tmp_path)}
    assert same == {"version/config.json": True, "version/model.safetensors": False}


def test_what_was_not_recorded_is_no_failure():
    done = Reproduction([Compared("base", None, "x"), Compared("adapter", "a", "b")])
    assert done.failed == ["adapter"]


def test_other_surroundings_are_told():
    manifest = {
        "machine": {"instruction_sets": ["z80"]},
        "versions": {**package_versions(), "torch": "1.0"},
        "git_commit": "abc",
    }
    told = " | ".join(surroundings(manifest, "def"))
    assert "the processor: z80 then" in told
    assert "torch: 1.0 then" in told
    assert "the code: commit abc then, def now" in told


def test_the_same_surroundings_are_not():
    manifest = {
        "machine": {"instruction_sets": instruction_sets()},
        "versions": package_versions(),
        "git_commit": "abc",
    }
    assert surroundings(manifest, "abc") == []


def test_the_distance_of_adapters_is_relative_and_judged(tmp_path):
    import torch
    from safetensors.torch import save_file

    from evqa.reproduce import distance

    save_file({"a": torch.ones(4)}, tmp_path / "one")
    save_file({"a": torch.ones(4) * 1.001}, tmp_path / "near")
    save_file({"a": torch.ones(4) * 2}, tmp_path / "far")
    save_file({"b": torch.ones(4)}, tmp_path / "other")
    assert "within the tolerance" in distance(tmp_path / "one", tmp_path / "near")
    assert "beyond the tolerance" in distance(tmp_path / "one", tmp_path / "far")
    assert "other tensors" in distance(tmp_path / "one", tmp_path / "other")


def evqa(*words):
    return subprocess.run(
        [sys.executable, "-m", "evqa.cli", "reproduce", *words],
        cwd=ROOT, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip


def trained(place):
    """A finished smoke run in ``place``."""
    done = subprocess.run(
        [sys.executable, "train.py", "experiment=smoke", "logger=none", "trainer.max_steps=4",
         "benchmark.max_questions=2", f"paths.outputs_dir={place}/out",
         f"paths.prepared_dir={place}/prepared"],
        cwd=ROOT, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_a_run_is_reproduced_to_the_bit_and_a_flipped_byte_is_not(tmp_path):
    trained(tmp_path)
    done = evqa("--json", "--outputs-dir", f"{tmp_path}/out")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [row["name"] for row in told["compared"]] == [
        "documents", "chunks", "pairs", "base", "adapter",
    ]  # fmt: skip
    assert all(row["same"] for row in told["compared"])
    assert not list((tmp_path / "out").glob(".reproduce-*"))
    adapter = tmp_path / "out" / "runs" / "latest" / "adapter" / "adapter_model.safetensors"
    content = bytearray(adapter.read_bytes())
    content[-1] ^= 1
    adapter.write_bytes(content)
    done = evqa("--outputs-dir", f"{tmp_path}/out")
    assert done.returncode == 4
    assert "not reproduced: adapter" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [(("latest",), "no finished run"), (("evqa/1",), "no such version"), (("none",), "no run")],
)
def test_nothing_to_reproduce_is_one_line(tmp_path, words, message):
    done = evqa(*words, "--outputs-dir", str(tmp_path))
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
