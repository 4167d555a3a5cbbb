"""The main job from the command line on the shipped corpus, as its user would run it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RUN_FILES = {
    ".hydra", "adapter", "checkpoints", "dropped.jsonl", "ledger.json", "manifest.json", "metrics.json",
    "plan.json", "steps.jsonl", "train.log", "validations.jsonl",
}  # fmt: skip


def command(place, *words, script="train.py"):
    head = [sys.executable, *script.split()]
    return [
        *head,
        *(
            ["experiment=smoke", f'paths.prepared_dir="{place}/prepared"']
            if "train" in script
            else []
        ),
        f'paths.outputs_dir="{place}/out"',
        *words,
    ]


def run(place, *words, script="train.py", **settings):
    return subprocess.run(
        command(place, *words, script=script),
        cwd=ROOT, capture_output=True, text=True, timeout=280, check=False, **settings,
    )  # fmt: skip


def latest(place):
    return (place / "out" / "runs" / "latest").resolve()


def adapter_bytes(folder):
    return (folder / "adapter" / "adapter_model.safetensors").read_bytes()


def check_one_line(done, code, *words):
    assert done.returncode == code, done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in errors[0]


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    """A folder whose path has a space and an umlaut, with one finished run in it."""
    place = tmp_path_factory.mktemp("ein Süßer Ort")
    done = run(place)
    assert done.returncode == 0, done.stderr
    assert "tracking stopped" not in done.stderr
    (place / "stdout.txt").write_text(done.stdout)
    return place


def test_it_ends_with_table_answers_and_what_next(place):
    text = (place / "stdout.txt").read_text()
    for word in ("rouge_l", "token_f1", "chrf", "key_fact_recall", "tuned", "evqa ask", "aim up"):
        assert word in text
    assert text.count("reference") == 3


def test_the_run_folder_is_as_designed(place):
    folder = latest(place)
    assert {p.name for p in folder.iterdir()} == RUN_FILES
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["finished"] is True
    assert manifest["config"]["name"] == "smoke"
    for key in ("git_commit", "versions", "seed", "command", "base", "dataset", "machine"):
        assert key in manifest
    assert len(manifest["base"]["sha256"]) == 64
    systems = json.loads((folder / "metrics.json").read_text())["systems"]
    assert set(systems) == {"base", "tuned"}
    planned = json.loads((folder / "plan.json").read_text())
    assert planned["fits"] is True
    assert planned["measured"]["peak_gib"] > 0


def test_nothing_secret_or_half_written_is_left(place):
    names = [p.name for p in (place / "out").rglob("*") if ".aim" not in p.parts]
    assert not [name for name in names if name.endswith((".tmp", ".old"))]


READ_AIM = """
import json, sys
from aim import Repo, Run
repo = Repo(sys.argv[1])
run = Run(repo.list_all_runs()[0], repo=repo, read_only=True)
print(json.dumps({
    "hash": run.hash,
    "r": run["hparams"]["lora"]["r"],
    "metrics": sorted({metric.name for metric in run.metrics()}),
    "texts": len(run.collect_sequence_info("texts")["texts"]),
}))
"""


def test_aim_shows_params_metrics_texts_and_scores(place):
    """As `aim up` does it: index what closed runs left, then read, in a process of its own."""
    aim = Path(sys.executable).parent / "aim"
    repo = str(place / "out")
    subprocess.run(
        [aim, "storage", "--repo", repo, "reindex"], input="y", text=True, capture_output=True,
        check=True, timeout=120,
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", READ_AIM, repo], capture_output=True, text=True, check=False,
        timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["hash"] == json.loads((latest(place) / "manifest.json").read_text())["tracker_run"]
    assert seen["r"] == 64
    assert {"train/loss", "train/lr", "train/memory_gib", "eval/key_fact_recall",
            "__system__cpu"} <= set(seen["metrics"])  # fmt: skip
    assert seen["texts"] == 1


def test_the_same_seed_gives_the_same_adapter_and_finds_everything_prepared(place):
    first = latest(place)
    done = run(place, "logger=none")
    assert done.returncode == 0, done.stderr
    assert "pre-training" not in done.stderr
    assert latest(place) != first
    assert adapter_bytes(latest(place)) == adapter_bytes(first)


def test_ctrl_c_leaves_a_resumable_run(place):
    whole = adapter_bytes(latest(place))
    started = subprocess.Popen(
        command(place, "logger=none"), cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    folder = wait_for_step(place / "out" / "runs", started)
    started.send_signal(signal.SIGINT)
    _out, err = started.communicate(timeout=120)
    assert started.returncode == 130, err
    assert "go on with: python train.py" in err.splitlines()[-1]
    different = run(place, f'resume="{folder}"', "lora.r=4")
    check_one_line(different, 2, "lora.r", "64", "4")
    resumed = run(place, "resume=unfinished")
    assert resumed.returncode == 0, resumed.stderr
    assert latest(place) == folder.resolve()
    assert adapter_bytes(folder) == whole
    lines = [json.loads(line) for line in (folder / "steps.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 13))
    assert max(line.get("resumed_from_step", 0) for line in lines) > 0
    check_one_line(run(place, f'resume="{folder}"'), 2, "finished")


def wait_for_step(runs, process):
    before = time.monotonic() + 200
    while time.monotonic() < before and process.poll() is None:
        unfinished = [
            p for p in runs.glob("*_smoke")
            if (p / "steps.jsonl").exists() and not (p / "metrics.json").exists()
        ]  # fmt: skip
        if unfinished and (unfinished[0] / "steps.jsonl").read_text().count("\n") >= 2:
            return unfinished[0]
        time.sleep(0.02)
    raise AssertionError(process.communicate()[1])


def test_evaluate_scores_the_latest_run(place):
    done = run(place, "benchmark.max_questions=6", "logger=none", script="evaluate.py")
    check_one_line(done, 4, "NOT_ENOUGH_DATA: 6 questions; a verdict needs 30 or more")
    assert "NOT_ENOUGH_DATA" in done.stdout
    (folder,) = (place / "out" / "evaluations").iterdir()
    names = {p.name for p in folder.iterdir()}
    assert {"report.md", "results.json", "predictions.jsonl", "performance_metrics.json",
            "evaluation_results.json", "benchmark_dataset.json"} <= names  # fmt: skip


def test_ask_answers_without_a_server(place):
    done = subprocess.run(
        [sys.executable, "-m", "evqa.cli", "ask", "What is CCS?", "--outputs-dir", f"{place}/out",
         "--max-new-tokens", "4"],
        cwd=ROOT, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_two_processes_train_as_one_does(place):
    """trainer=ddp on the CPU: one run folder, the same steps, the adapter of both is one."""
    words = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.micro_batch_size=4", "logger=none"]
    alone = steps_of(latest(place))
    before = set((place / "out" / "runs").iterdir())
    done = run(place, *words)
    assert done.returncode == 0, done.stderr
    assert len(set((place / "out" / "runs").iterdir()) - before) == 1
    folder = latest(place)
    assert "GLOBAL_RANK: 1" in (folder / "follower_1.log").read_text()
    both = steps_of(folder)
    assert [set(x["sample_ids"]) for x in both] == [set(x["sample_ids"]) for x in alone]
    assert [x["num_tokens"] for x in both] == [x["num_tokens"] for x in alone]
    assert [x["loss"] for x in both] == pytest.approx([x["loss"] for x in alone], rel=2e-3)


def steps_of(folder):
    return [json.loads(line) for line in (folder / "steps.jsonl").read_text().splitlines()]


class TestShowBatch:
    def show(self, place, *words):
        return run(place, *words, "output=json", script="-m evqa.show_batch")

    def test_a_step_of_a_run_is_shown_as_it_was_seen(self, place):
        line = steps_of(latest(place))[2]
        done = self.show(place, "run=latest", "step=3", "max_samples=16")
        assert done.returncode == 0, done.stderr
        shown = json.loads(done.stdout)
        assert [sample["id"] for sample in shown] == line["sample_ids"]
        assert sum(len(sample["tokens"]) for sample in shown) == line["num_tokens"]
        first = shown[0]
        labelled = [t for t, n in zip(first["tokens"], first["labels"], strict=True) if n != -100]
        assert labelled[-1] == "<|end|>", "the token that ends the turn is learnt"
        assert "<|assistant|>" not in labelled

    def test_the_colours_of_the_table(self, place):
        words = ["run=latest", "samples=[" + steps_of(latest(place))[0]["sample_ids"][0] + "]"]
        env = {**os.environ, "FORCE_COLOR": "1"}
        done = run(place, *words, script="-m evqa.show_batch", env=env)
        assert done.returncode == 0, done.stderr
        assert "\x1b[30;42m<|end|>" in done.stdout
        assert "1 of 1 samples" in done.stdout

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["run=nowhere"], "run=nowhere: no run there"),
            (["run=latest", "step=9999"], "step=9999: this training has"),
            (["run=latest", "samples=[none]"], "no training sample 'none'"),
        ],
    )
    def test_what_is_not_there(self, place, words, said):
        check_one_line(self.show(place, *words), 2, said)


def test_two_at_once_in_one_folder(place):
    both = [
        subprocess.Popen(
            command(place, "trainer.max_steps=2", "seed=7", "benchmark.max_questions=2"),
            cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    for process in both:
        _out, err = process.communicate(timeout=280)
        assert process.returncode == 0, err


def test_a_broken_tracker_does_not_end_a_run(place, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / ".aim").write_text("not a repository")
    shutil.copytree(place / "out" / "cache", out / "cache")
    done = run(
        place, f"paths.outputs_dir={out}", "trainer.max_steps=1", "benchmark.max_questions=2"
    )
    assert done.returncode == 0, done.stderr
    assert "tracking stopped, the run goes on" in done.stderr


class TestMistakes:
    def test_an_empty_data_folder(self, place, tmp_path):
        empty = tmp_path / "empty"
        empty.mkdir()
        done = run(place, "data=web", f"sources.web.folder={empty}")
        check_one_line(done, 2, str(empty))

    def test_a_data_folder_that_is_not_there(self, place):
        check_one_line(run(place, "data=web", "sources.web.folder=/no/such"), 2, "/no/such")

    def test_a_model_folder_without_weights(self, place, tmp_path):
        (tmp_path / "config.json").write_text('{"model_type": "llama"}')
        done = run(place, "model=smollm2_135m", f"model.path={tmp_path}")
        check_one_line(done, 2, "no weights there", str(tmp_path))

    def test_a_package_that_is_not_installed(self, place):
        done = run(place, "logger=wandb")
        check_one_line(done, 2, "wandb", "pip install wandb")

    def test_a_missing_benchmark(self, place):
        check_one_line(
            run(place, "benchmark.path=/none.jsonl"), 2, "benchmark.path", "/none.jsonl"
        )

    def test_no_api_key(self, place):
        done = run(place, "qa=together", env={**os.environ, "TOGETHER_API_KEY": ""})
        check_one_line(done, 2, "TOGETHER_API_KEY")

    def test_a_gpu_that_is_not_there(self, place):
        import torch

        if torch.cuda.is_available():
            pytest.skip("there is a GPU here")
        check_one_line(run(place, "trainer=gpu"), 2, "trainer=cpu")

    def test_over_the_memory_budget(self, place):
        done = run(place, "memory.budget_gib=0.001")
        check_one_line(done, 4, "0.001 GiB may be used", "memory.budget_gib")

    def test_evaluate_before_any_run_leaves_nothing(self, tmp_path):
        check_one_line(run(tmp_path, script="evaluate.py"), 2, "python train.py")
        assert list((tmp_path / "out").rglob("*.log")) == []
        assert list((tmp_path / "out" / "evaluations").iterdir()) == []

    def test_a_mistake_found_late_leaves_no_run_to_resume(self, place, tmp_path):
        done = run(
            place, "data=web", "sources.web.folder=/no/such", f"paths.outputs_dir={tmp_path}"
        )
        check_one_line(done, 2, "/no/such")
        assert list((tmp_path / "runs").iterdir()) == []
        check_one_line(
            run(place, "resume=unfinished", f"paths.outputs_dir={tmp_path}"), 2, "no run"
        )

    def test_someone_elses_file_in_place_of_the_outputs(self, tmp_path, place):
        (tmp_path / "out").write_text("mine")
        done = run(place, f"paths.outputs_dir={tmp_path}/out")
        assert done.returncode == 2, done.stderr
        assert "Traceback" not in done.stderr
        assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a tmpfs takes root")
@pytest.mark.parametrize("size_kib", [64, 400, 1000])
def test_a_full_disk_is_one_line(place, tmp_path, size_kib):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size_kib}k", "tmpfs", str(disk)],
        capture_output=True, check=False,
    )  # fmt: skip
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        done = run(place, f"paths.outputs_dir={disk}/out", "logger=none")
        check_one_line(done, 5, "disk full")
        assert not list(disk.rglob("*.tmp"))
    finally:
        subprocess.run(["umount", str(disk)], check=True)
