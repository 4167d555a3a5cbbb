"""The life of a run folder."""

import json

import pytest

from evqa.config import TrainConfig, from_dict, load_config
from evqa.errors import UserError
from evqa.files import folder_lock
from evqa.training.run import finish_run, open_run


@pytest.mark.parametrize("job", ["train", "pipeline"])
def test_the_manifest_comes_first_and_holds_a_training(job, tmp_path):
    folder = tmp_path / "runs" / "one"
    config = load_config(job, ["lora.r=5"])
    with open_run(config, folder):
        manifest = json.loads((folder / "manifest.json").read_text())
        assert manifest["finished"] is False
        assert from_dict(TrainConfig, manifest["config"]).lora.r == 5
    finish_run(folder, extra=1)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["finished"], manifest["extra"]) == (True, 1)
    assert (tmp_path / "runs" / "latest").resolve() == folder


def test_a_resumed_run_keeps_its_manifest(tmp_path):
    with open_run(load_config("train", ["seed=1"]), tmp_path / "r"):
        pass
    with open_run(load_config("train", ["seed=2"]), tmp_path / "r"):
        assert json.loads((tmp_path / "r" / "manifest.json").read_text())["seed"] == 1


def test_one_process_a_folder(tmp_path):
    with (
        folder_lock(tmp_path / "r"),
        pytest.raises(UserError, match="another process is training"),
        open_run(load_config("train"), tmp_path / "r"),
    ):
        pass
