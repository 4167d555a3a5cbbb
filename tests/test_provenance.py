"""Manifests hold what is needed to run it again."""

import json
import subprocess

import pytest

from evqa.files import write_json
from evqa.provenance import (
    git_commit,
    instruction_sets,
    new_manifest,
    package_versions,
    update_manifest,
    weights_sha256,
)


@pytest.fixture
def checkout(tmp_path):
    def git(*words):
        subprocess.run(
            ["git", "-c", "user.name=x", "-c", "user.email=x@y", *words],
            cwd=tmp_path, check=True, capture_output=True,
        )  # fmt: skip

    git("init", "-q")
    (tmp_path / "a.txt").write_text("1")
    git("add", ".")
    git("commit", "-qm", "one")
    return tmp_path


def test_the_commit_and_whether_it_is_changed(checkout):
    clean = git_commit(checkout)
    assert len(clean) == 40
    (checkout / "a.txt").write_text("2")
    assert git_commit(checkout) == f"{clean}-dirty"


def test_no_checkout_no_commit(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_commit(tmp_path) is None
    monkeypatch.setenv("PATH", "")
    assert git_commit(tmp_path) is None


def test_versions_of_what_is_installed():
    found = package_versions(["hydra-core", "no-such-package"])
    assert set(found) == {"python", "hydra-core"}


def test_the_manifest_round_trips(tmp_path):
    made = new_manifest("train", {"seed": 7}, tmp_path)
    assert made["finished"] is False
    assert made["seed"] == 7
    write_json(tmp_path / "manifest.json", made)
    update_manifest(tmp_path, finished=True, base={"sha256": "x"})
    again = json.loads((tmp_path / "manifest.json").read_text())
    assert again == {**made, "finished": True, "base": {"sha256": "x"}}


def test_instruction_sets_are_known_words():
    assert instruction_sets()


def test_the_hash_of_weights_sees_names_and_contents(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(b"one")
    (tmp_path / "config.json").write_text("{}")
    first = weights_sha256(tmp_path)
    (tmp_path / "config.json").write_text('{"other": 1}')
    assert weights_sha256(tmp_path) == first
    (tmp_path / "a.safetensors").rename(tmp_path / "b.safetensors")
    renamed = weights_sha256(tmp_path)
    (tmp_path / "b.safetensors").write_bytes(b"two")
    assert len({first, renamed, weights_sha256(tmp_path)}) == 3
