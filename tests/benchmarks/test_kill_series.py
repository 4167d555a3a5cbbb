"""The series of kills, whose figures are kept in benchmarks/results: twenty of each."""

import importlib.util
import json
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


def load(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("batching", ["packed", "padded"])
def test_a_training_killed_twenty_times_ends_with_the_same_adapter(tmp_path, batching):
    result = load("training_kills").series(tmp_path, 20, 0, [f"trainer.batching={batching}"])
    assert result["problems"] == []
    assert result["equal"]
    assert result["kills"] == 20
    assert result["most_steps_repeated"] < result["checkpoint_every_n_steps"]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_sweep_killed_twenty_times_gives_the_same_table(tmp_path):
    result = load("sweep_kills").kills(tmp_path, 20, 0)
    assert result["equal"]
    assert result["orphans"] == []
    assert result["kills"] == 20


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_fifty_trials_of_which_a_third_of_the_space_does_not_fit(tmp_path):
    result = load("sweep_kills").infeasible(tmp_path, 50)
    assert result["launched_over_budget"] == 0
    assert result["paid_trials"] == 50
    assert result["reproduced_exactly"]


@pytest.mark.parametrize("name", ["training_kills", "search_simulation", "training_speed"])
def test_the_kept_figures_hold_what_was_promised(name):
    result = json.loads((FOLDER / "results" / f"{name}.json").read_text())
    assert result["git_commit"]
    if name == "training_kills":
        assert result["equal"]
        assert result["kills"] == 20
    if name == "search_simulation":
        assert result["regret_ratio_95_interval"][1] <= 0.6
        assert result["paid_out_of_memory_trials"]["ours"] == 0
    if name == "training_speed":
        verdict = result["verdict"]
        assert verdict["over_trl_padded"] >= 1.5
        assert verdict["over_trl_packing"] >= 1.25
        assert verdict["over_best_trl"] >= 1.1
        assert abs(verdict["validation_loss_difference"]) <= 0.005


def test_a_series_reads_only_whole_lines(tmp_path):
    kills = load("training_kills")
    (tmp_path / "steps.jsonl").write_text('{"step": 1}\n{"step": 2}\n{"st')
    assert [line["step"] for line in kills.lines_of(tmp_path)] == [1, 2]
    assert kills.repeated_too_much([{"step": 1}, {"step": 2}]) == []
    assert kills.repeated_too_much([{"step": 1}, {"step": 3}])
    assert kills.repeated_too_much([{"step": 1}, {"step": 1}])


def test_a_series_that_differs_says_so(tmp_path):
    kills = load("training_kills")
    for name, text in (("whole", "a"), ("killed", "b")):
        (tmp_path / name / "adapter").mkdir(parents=True)
        (tmp_path / name / "adapter" / "adapter_model.safetensors").write_text(text)
        (tmp_path / name / "steps.jsonl").write_text(
            json.dumps({"step": 1, "loss": 1.0, "sample_ids": [text]}) + "\n"
        )
    result = kills.figures(tmp_path / "whole", tmp_path / "killed", [5, 7], [])
    assert not result["equal"]
    assert result["most_steps_repeated"] == 3
    assert len(result["problems"]) == 2
