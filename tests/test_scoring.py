"""evaluate.py from end to end on a tiny run: adapter, version, endpoint; kills and reruns."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from answers_for_tests import question
from finished_run import build_finished_run

from evqa.config import load_config
from evqa.errors import GateError
from evqa.files import folder_lock
from evqa.records import Prediction, read_jsonl, write_jsonl
from evqa.scoring import evaluate_systems, say_verdict

ROOT = Path(__file__).parents[1]
FILES = {
    "report.html", "report.md", "results.json", "predictions.jsonl", "performance_metrics.json",
    "evaluation_results.json", "benchmark_dataset.json", "request.json",
    "retention_predictions.jsonl",
}  # fmt: skip
QUICK = [
    "logger=none", "generation.max_new_tokens=8", "generation.batch_size=8",
    "metrics.bootstrap_samples=100", "performance.concurrency=[1,2]", "performance.num_rounds=1",
    "performance.max_new_tokens=4", "retention.max_questions=6",
]  # fmt: skip


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """An outputs folder with a float32 run, its released version, and 36 questions."""
    from evqa.release import release

    root = tmp_path_factory.mktemp("scoring")
    build_finished_run(root, "quantization=none", "model.dtype=fp32")
    write_jsonl(root / "questions.jsonl", [question(n) for n in range(36)])
    out = root / "outputs"
    config = load_config(
        "release", [f"paths.outputs_dir={out}", "export=fp32", "export.served=never"]
    )
    release(config, root)
    return out


def words(outputs, *overrides):
    questions = outputs.parent / "questions.jsonl"
    return [f"paths.outputs_dir={outputs}", "benchmark=custom", f"benchmark.path={questions}",
            *QUICK, *overrides]  # fmt: skip


def evaluate(outputs, folder, *overrides):
    folder.mkdir(parents=True, exist_ok=True)
    config = load_config("evaluate", words(outputs, *overrides))
    return evaluate_systems(config, folder)


def results(folder):
    return json.loads((folder / "results.json").read_text())


def texts(folder):
    made = {}
    for row in read_jsonl(folder / "predictions.jsonl", Prediction):
        made.setdefault(row.system, []).append((row.question_id, row.text))
    return made


def test_the_folder_is_as_designed(outputs, tmp_path):
    evaluate(outputs, tmp_path / "e")
    assert {p.name for p in (tmp_path / "e").iterdir()} == FILES
    told = results(tmp_path / "e")
    assert told == json.loads((tmp_path / "e" / "evaluation_results.json").read_text())
    assert told["verdict"] in ("NO_SHIP", "NOT_ENOUGH_DATA")
    assert told["run"] == str((outputs / "runs" / "latest").resolve())
    assert set(told["performance"]) == {"base", "tuned"}
    assert told["retention"]["num_questions"] == 6
    assert told["additional"]["base"]["reference_perplexity"] > 1


def test_adapter_and_merged_version_answer_alike_in_float32(outputs, tmp_path):
    evaluate(outputs, tmp_path / "e", "systems=[base,tuned,version:evqa/1]", "performance=none")
    made = texts(tmp_path / "e")
    assert made["tuned"] == made["version:evqa/1"]
    assert made["tuned"] != made["base"]
    told = results(tmp_path / "e")
    assert told["systems"]["tuned"] != told["systems"]["base"]
    adapter, merged = (told["systems"][s]["chrf"]["value"] for s in ("tuned", "version:evqa/1"))
    assert adapter == merged


def test_the_report_draws_the_runs_losses_of_training_and_validation(outputs, tmp_path):
    own = tmp_path / "outputs"
    shutil.copytree(outputs, own, symlinks=True)
    shutil.copy(outputs.parent / "questions.jsonl", tmp_path)
    run = (own / "runs" / "latest").resolve()
    (run / "steps.jsonl").write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "loss": 1.5}\n{"st')
    (run / "validations.jsonl").write_text('{"step": 2, "validation_loss": 1.75}\n')
    made = evaluate(own, tmp_path / "e", "performance=none", "retention=none")
    assert [step.get("validation_loss") for step in made.steps] == [None, None, 1.75]
    page = (tmp_path / "e" / "report.html").read_text()
    assert "training loss" in page
    assert "validation loss" in page


def test_the_second_time_gives_the_same_answers_and_scores(outputs, tmp_path):
    for name in "ab":
        evaluate(outputs, tmp_path / name, "performance=none", "retention=none")
    assert texts(tmp_path / "a") == texts(tmp_path / "b")
    assert results(tmp_path / "a")["systems"] == results(tmp_path / "b")["systems"]


def test_an_unfinished_evaluation_of_the_same_things_is_gone_on_with(outputs, tmp_path, capsys):
    evaluate(outputs, tmp_path / "whole", "performance=none")
    wanted = texts(tmp_path / "whole")
    old = tmp_path / "old"
    shutil.copytree(tmp_path / "whole", old)
    (old / "results.json").unlink()
    lines = (old / "predictions.jsonl").read_text().splitlines(keepends=True)
    marked = [json.dumps({**json.loads(line), "text": "kept"}) + "\n" for line in lines[:36]]
    (old / "predictions.jsonl").write_text("".join(marked))
    evaluate(outputs, tmp_path / "new", "performance=none")
    assert "going on with the answers of old" in capsys.readouterr().err
    assert not old.exists()
    made = texts(tmp_path / "new")
    assert {text for _, text in made["base"]} == {"kept"}
    assert made["tuned"] == wanted["tuned"]


@pytest.mark.parametrize("change", ["seed=7", "generation.max_new_tokens=9"])
def test_an_unfinished_evaluation_of_other_things_is_left_alone(outputs, tmp_path, change):
    old = tmp_path / "old"
    evaluate(outputs, old, "performance=none", "retention=none")
    (old / "results.json").unlink()
    evaluate(outputs, tmp_path / "new", "performance=none", "retention=none", change)
    assert (old / "predictions.jsonl").exists()


def test_one_that_is_still_running_is_left_alone(outputs, tmp_path):
    old = tmp_path / "old"
    evaluate(outputs, old, "performance=none", "retention=none")
    (old / "results.json").unlink()
    with folder_lock(old):
        evaluate(outputs, tmp_path / "new", "performance=none", "retention=none")
    assert (old / "predictions.jsonl").exists()


def test_the_gate_says_why(outputs, tmp_path, capsys):
    made = evaluate(outputs, tmp_path / "e", "performance=none", "retention=none")
    config = load_config("evaluate", words(outputs))
    with pytest.raises(GateError, match="NO_SHIP: |NOT_ENOUGH_DATA: "):
        say_verdict(config, made, tmp_path / "e")
    assert "is found in four cases of five" in capsys.readouterr().out


def start(outputs, *overrides):
    return subprocess.Popen(
        [sys.executable, "evaluate.py", *words(outputs, *overrides)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_killed_and_run_again_it_ends_as_if_never_killed(outputs, tmp_path):
    own = tmp_path / "outputs"
    shutil.copytree(outputs, own, symlinks=True)
    shutil.copy(outputs.parent / "questions.jsonl", tmp_path)
    slow = ["generation.max_new_tokens=40", "performance=none", "retention=none"]
    process = start(own, *slow)
    deadline = time.monotonic() + 120
    while not [p for p in own.glob("evaluations/*/predictions.jsonl") if p.stat().st_size]:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    done = start(own, *slow)
    _out, err = done.communicate(timeout=200)
    assert done.returncode == 4, err
    assert "going on with the answers of" in err
    (folder,) = own.glob("evaluations/*")
    evaluate(own, tmp_path / "straight", *slow)
    assert texts(folder) == texts(tmp_path / "straight")
