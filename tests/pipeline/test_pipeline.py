"""The pipeline from end to end: cached, resumed, forced, refused; nothing done twice."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from evqa.files import sha256_file
from evqa.registry import Registry

ROOT = Path(__file__).parents[2]
STAGES = ["prepare", "plan", "train", "evaluate", "gate", "release"]
SMOKE = [
    "experiment=smoke", "logger=none", "performance=none", "retention=none",
    "metrics.reference_perplexity=false", "export.served=never", "trainer.max_steps=6", "callbacks.checkpoint_every_n_steps=2",
]  # fmt: skip


def command(place, *words):
    return [
        sys.executable, "-m", "evqa.pipeline", *SMOKE, f"paths.outputs_dir={place}/out",
        f"paths.prepared_dir={place}/prepared", *words,
    ]  # fmt: skip


def run(place, *words, **settings):
    return subprocess.run(
        command(place, *words), cwd=ROOT, capture_output=True, text=True, timeout=280, check=False,
        **settings,
    )  # fmt: skip


def pipelines(place):
    return sorted((place / "out" / "pipelines").iterdir())


def events(folder, *names):
    lines = (folder / "events.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if not names or row["event"] in names]


def states(folder):
    rows = json.loads((folder / "summary.json").read_text())["stages"]
    return {row["stage"]: row["state"] for row in rows}


def results(place):
    """The hashes of what a pipeline leaves: pairs, adapter, answers, version."""
    out = place / "out"
    registry = Registry(out / "registry", "evqa")
    (pairs,) = (place / "prepared").glob("*/pairs.jsonl")
    version = registry.versions()[-1]
    return {
        "pairs": sha256_file(pairs),
        "adapter": sha256_file(out / "runs" / "latest" / "adapter" / "adapter_model.safetensors"),
        "weights": registry.manifest(version).files["model.safetensors"]["sha256"],
        "versions": registry.versions(),
    }


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with one finished pipeline in it."""
    place = tmp_path_factory.mktemp("pipeline")
    done = run(place, "require_ship=false")
    assert done.returncode == 0, done.stderr
    return place


def test_every_stage_is_done_told_and_written_down(place):
    (folder, *_) = pipelines(place)
    assert states(folder) == dict.fromkeys(STAGES, "done")
    assert [row["stage"] for row in events(folder, "stage_finished")] == STAGES
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["version"] == 1
    assert summary["failed"] is None
    assert all(row["seconds"] > 0 and row["peak_rss_gib"] > 0 for row in summary["stages"])
    assert "next:" in (folder / "pipeline.log").read_text()


def test_with_nothing_changed_everything_is_found(place):
    before = results(place)
    done = run(place, "require_ship=false")
    assert done.returncode == 0, done.stderr
    found = states(pipelines(place)[-1])
    assert {s: found[s] for s in ("prepare", "train", "evaluate", "release")} == dict.fromkeys(
        ("prepare", "train", "evaluate", "release"), "cached"
    )
    assert results(place) == before


def test_a_refusal_releases_nothing_and_tells_the_webhook(place):
    told = []

    class Hook(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_POST(self):
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/hook"
        done = run(place, "webhook_env=MY_HOOK", env={**os.environ, "MY_HOOK": url})
        server.shutdown()
    assert done.returncode == 4, done.stderr
    assert "nothing was released" in done.stderr
    (message,) = told
    assert message["stage"] == "gate"
    assert "key_fact_recall" in message["error"] or "verdict" in message["error"]
    assert states(pipelines(place)[-1])["release"] == "waiting"
    assert results(place)["versions"] == [1]


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9/",
        pytest.param("not a url", marks=pytest.mark.slow),
        pytest.param(None, marks=pytest.mark.slow),
    ],
)
def test_a_webhook_that_cannot_be_told_changes_nothing(place, url):
    env = {**os.environ, "MY_HOOK": url} if url else os.environ
    done = run(place, "webhook_env=MY_HOOK", env=env)
    assert done.returncode == 4
    assert "warning: " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_from_a_stage_on_things_are_done_again(place):
    done = run(place, "from_stage=evaluate", "until_stage=gate", "require_ship=false")
    assert done.returncode == 0, done.stderr
    assert states(pipelines(place)[-1]) == {
        "prepare": "cached", "plan": "done", "train": "cached", "evaluate": "done", "gate": "done",
    }  # fmt: skip


def test_stages_in_the_wrong_order_are_refused(place):
    done = run(place, "from_stage=release", "until_stage=train")
    assert done.returncode == 2
    assert "from_stage: release comes after until_stage=train" in done.stderr


@pytest.mark.slow
def test_another_rank_is_another_run_and_version(place, tmp_path):
    import shutil

    shutil.copytree(place, tmp_path / "p", symlinks=True)
    done = run(tmp_path / "p", "require_ship=false", "lora.r=4")
    assert done.returncode == 0, done.stderr
    found = states(pipelines(tmp_path / "p")[-1])
    assert (found["prepare"], found["train"], found["release"]) == ("cached", "done", "done")
    assert results(tmp_path / "p")["versions"] == [1, 2]


@pytest.mark.slow
def test_a_second_pipeline_waits_for_the_first(place):
    both = [
        subprocess.Popen(
            command(place, "until_stage=train"), cwd=ROOT, stderr=subprocess.PIPE, text=True,
            stdout=subprocess.DEVNULL,
        )
        for _ in range(2)
    ]  # fmt: skip
    for process in both:
        _out, err = process.communicate(timeout=200)
        assert process.returncode == 0, err


def kill_and_rerun(place, moments, *words):
    """Kill the pipeline at each of the moments (s), then let it end; return its stage events."""
    for moment in moments:
        process = subprocess.Popen(
            command(place, *words), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        process.wait()
    done = run(place, *words)
    assert done.returncode == 0, done.stderr
    return Counter(
        row["stage"] for folder in pipelines(place) for row in events(folder, "stage_finished")
    )


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_killed_and_run_again_it_leaves_the_same(place, tmp_path):
    """benchmarks/pipeline_kills.py does it twenty times, and keeps the figures."""
    done = kill_and_rerun(tmp_path, (9, 12), "require_ship=false")
    assert results(tmp_path) == results(place)
    assert {done[stage] for stage in ("prepare", "train", "evaluate", "release")} <= {0, 1}
