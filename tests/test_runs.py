import json

import pytest

from evqa.errors import UserError
from evqa.files import point_link
from evqa.runs import find_run, read_manifest


def make_run(outputs, name, **manifest):
    folder = outputs / "runs" / name
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps({"finished": True, **manifest}))
    return folder


def test_latest_is_the_folder_behind_the_link(tmp_path):
    make_run(tmp_path, "a")
    newest = make_run(tmp_path, "b")
    point_link(tmp_path / "runs" / "latest", newest)
    assert find_run(tmp_path, "latest") == newest


@pytest.mark.parametrize("spelling", ["name", "path"])
def test_a_run_is_found_by_name_and_by_path(tmp_path, spelling):
    folder = make_run(tmp_path, "a")
    assert find_run(tmp_path, "a" if spelling == "name" else str(folder)) == folder


def test_a_path_wins_over_a_name_from_another_folder(tmp_path, monkeypatch):
    folder = make_run(tmp_path / "outputs", "a")
    monkeypatch.chdir(tmp_path / "outputs" / "runs")
    assert find_run(tmp_path / "elsewhere", "a") == folder


def test_without_any_run_it_says_what_to_run(tmp_path):
    with pytest.raises(UserError, match=r"no finished run in .*run `python train.py` first"):
        find_run(tmp_path, "latest")


def test_a_dangling_latest_is_no_run(tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "latest").symlink_to("gone")
    with pytest.raises(UserError, match="no finished run"):
        find_run(tmp_path, "latest")


def test_an_unfinished_run_names_the_resume_command(tmp_path):
    folder = make_run(tmp_path, "a", finished=False)
    with pytest.raises(UserError, match=f"python train.py resume={folder}"):
        find_run(tmp_path, "a")


def test_a_sweep_without_a_finished_trial_has_no_best(tmp_path):
    (tmp_path / "sweep" / "trials" / "0").mkdir(parents=True)
    with pytest.raises(UserError, match="a sweep of which no trial has finished yet"):
        find_run(tmp_path, str(tmp_path / "sweep"))


def test_a_wrong_name_is_one_line(tmp_path):
    with pytest.raises(UserError, match="run=nonsense: no run there") as caught:
        find_run(tmp_path, "nonsense")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[1]", "null"])
def test_a_broken_manifest_is_a_user_error(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(UserError, match=r"manifest\.json"):
        read_manifest(tmp_path)


def test_a_folder_without_manifest_is_not_a_run(tmp_path):
    with pytest.raises(UserError, match="not a run folder"):
        read_manifest(tmp_path)
