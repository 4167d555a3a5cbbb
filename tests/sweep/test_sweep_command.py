"""``python train.py -m …`` as its users and their accidents see it."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
import yaml
from hydra import compose, initialize_config_dir

from evqa.config import PlanConfig, TrainConfig
from evqa.config.compose import VERSION_BASE
from evqa.config.help import help_text
from evqa.config.keys import walk
from evqa.config.register import config_dir, options, register_configs
from evqa.config.sweep import SweeperConfig
from evqa.errors import UserError
from evqa.sweep.run import searched_space

LIMIT_S = 60


def finish(process):
    out, err = process.communicate(timeout=LIMIT_S)
    return process.returncode, out, err


def study_in(tmp_path):
    (folder,) = (tmp_path / "sweeps").iterdir()
    return folder


def alive(pid):
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def wait_for(condition):
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_finite_list(start, tmp_path, rows):
    code, out, err = finish(start("lora.r=32,8"))
    assert (code, err) == (0, "")
    assert [row["lora.r"] for row in rows(study_in(tmp_path))] == ["32", "8"]
    assert "2 finished, 0 failed" in out


def test_a_search_continues_and_passes_over_what_does_not_fit(start, tmp_path, rows):
    words = [
        "hydra.sweeper.study_name=mine",
        "model=llama3_2_1b",
        "trainer=gpu",
        "memory=6gib",
        "trainer.effective_batch_size=64",
        "trainer.micro_batch_size=choice(1,64)",
        "optimizer.lr=tag(log,interval(1e-5,1e-3))",
    ]
    assert finish(start(*words, "hydra.sweeper.n_trials=1"))[0] == 0
    code, out, err = finish(start(*words, "hydra.sweeper.n_trials=3"))
    assert (code, err) == (0, "")
    assert "1 of 3 trials are there; going on" in out
    table = rows(tmp_path / "sweeps" / "mine")
    paid = [row for row in table if row["state"] == "COMPLETE"]
    refused = [row for row in table if row["state"] == "PRUNED"]
    assert len(paid) == 3
    assert refused
    assert {row["trainer.micro_batch_size"] for row in paid} == {"1"}
    assert all("memory.budget_gib=6" in row["reason"] for row in refused)


def test_a_yaml_search(start, tmp_path, launches):
    code, _, err = finish(start("hparams_search=lora_6gib", "hydra.sweeper.n_trials=1"))
    assert (code, err) == (0, "")
    folder = tmp_path / "sweeps" / "lora_6gib"
    assert "hparams_search=lora_6gib" in launches(folder)[0]
    best = yaml.safe_load((folder / "best.yaml").read_text())
    assert any(word.startswith("trainer.micro_batch_size=") for word in best["overrides"])


@pytest.mark.parametrize("option", options()["hparams_search"])
def test_what_a_yaml_search_varies_exists(option, make_task):
    register_configs()
    with initialize_config_dir(str(config_dir()), version_base=VERSION_BASE):
        full = compose("train", [f"hparams_search={option}"], return_hydra_config=True)
        task = make_task(f"hparams_search={option}", params=dict(full.hydra.sweeper.params))
        assert searched_space(task).dimensions


MISTAKES = [
    (["optimizer.lr=interval(1e-5,1e-3)"], "hydra.sweeper.n_trials: must be set"),
    (["hydra.sweeper.n_trial=3"], "hydra.sweeper.n_trial: Key 'n_trial' not in"),
]


@pytest.mark.parametrize(("words", "line"), MISTAKES)
def test_mistakes_are_one_line(start, tmp_path, words, line):
    code, _, err = finish(start(*words))
    assert code == 2
    assert err.startswith(f"error: {line}")
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "sweeps").exists()


def test_all_failed_is_exit_code_4(start, behave):
    behave(any="fail")
    code, out, err = finish(start("lora.r=8,16"))
    assert code == 4
    assert err.startswith("error: study ")
    assert "2 failed" in out


def launched_pid(tmp_path):
    logs = list(tmp_path.glob("sweeps/*/launched.log"))
    return int(logs[0].read_text().split()[0]) if logs and logs[0].read_text() else None


def test_killing_the_sweep_kills_its_trial_and_the_same_line_goes_on(
    start, tmp_path, behave, rows, launches, monkeypatch
):
    behave(r8="hang")
    sweep = start("lora.r=8,16")
    wait_for(lambda: launched_pid(tmp_path))
    trial = launched_pid(tmp_path)
    sweep.send_signal(signal.SIGKILL)
    finish(sweep)
    wait_for(lambda: not alive(trial))
    monkeypatch.delenv("STUB_BEHAVIOUR")
    assert finish(start("lora.r=8,16"))[0] == 0
    table = rows(study_in(tmp_path))
    assert [(row["number"], row["lora.r"], row["state"]) for row in table] == [
        ("0", "8", "COMPLETE"),
        ("1", "16", "COMPLETE"),
    ]
    assert [line[1] for line in launches(study_in(tmp_path))] == ["0", "0", "1"]


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interruption_stops_the_trial_and_says_so(start, tmp_path, behave, signum, code):
    behave(r8="hang")
    sweep = start("lora.r=8,16")
    wait_for(lambda: launched_pid(tmp_path))
    trial = launched_pid(tmp_path)
    os.kill(sweep.pid, signum)
    found, _, err = finish(sweep)
    assert found == code
    assert "run the same command again" in err
    assert not alive(trial)


def test_help_names_every_key_of_the_sweeper():
    page = help_text("train", TrainConfig)
    for key, _, field in walk(SweeperConfig, "hydra.sweeper."):
        assert not field.metadata or field.metadata["doc"] in page, key
    assert "hparams_search=lora_6gib" in page
    assert "hydra.sweeper" not in help_text("plan", PlanConfig)


def test_the_sweeper_loads_nothing_heavy():
    script = (
        "import sys, evqa.sweep.run, evqa.sweep.plugin; "
        "print([m for m in ('torch', 'lightning', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_best_takes_the_overrides_of_the_best_trial(start, tmp_path):
    finish(start("lora.r=32,16,8", "seed=5", "hydra.sweeper.study_name=mine"))
    from evqa.config.best import with_best

    place = f"paths.outputs_dir={tmp_path}"
    words = with_best("train", [place, "best=mine", "seed=6"])
    assert words == ["seed=5", f"paths.outputs_dir={tmp_path}", "lora.r=16", place, "seed=6"]
    assert with_best("train", ["lora.r=4"]) == ["lora.r=4"]
    assert with_best("train", ["best=null", "lora.r=4"]) == ["best=null", "lora.r=4"]
    with pytest.raises(UserError, match="best=none: no study .*; there are mine"):
        with_best("train", [place, "best=none"])


def test_run_names_the_best_trial_of_a_sweep(start, tmp_path):
    finish(start("lora.r=32,16,8", "hydra.sweeper.study_name=mine"))
    from evqa.runs import find_run

    wanted = tmp_path / "sweeps" / "mine" / "trials" / "1"
    assert find_run(tmp_path, "mine") == wanted
    assert find_run(tmp_path, str(tmp_path / "sweeps" / "mine")) == wanted
    (tmp_path / "sweeps" / "mine" / "best.yaml").unlink()
    with pytest.raises(UserError, match="no trial has finished"):
        find_run(tmp_path, "mine")
