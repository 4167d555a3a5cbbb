"""Aim for real: several processes log at once, and the dashboard shows it in a browser."""

import multiprocessing
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from browser import needs_chromium, rendered

from evqa.config.training import LoggerConfig, LoggerKind

NUM_RUNS = 4


def png():
    import io

    from PIL import Image

    stream = io.BytesIO()
    Image.new("RGB", (8, 8), "green").save(stream, "PNG")
    return stream.getvalue()


def log_a_run(outputs, number):
    from evqa.tracking import build_tracker

    folder = outputs / "sweeps" / "study" / "trials" / f"trial-{number}"
    folder.mkdir(parents=True)
    config = LoggerConfig(kind=LoggerKind.aim, experiment="study", system_interval_s=None)
    tracker = build_tracker(config, outputs, folder)
    tracker.params({"hparams": {"lora": {"r": 8 * (number + 1)}}})
    for step in range(20):
        tracker.metrics({"train/loss": 3.0 / (step + 1)}, step)
    tracker.text("sample answers", f"answer of run {number}")
    tracker.image("by_category", png(), f"picture of run {number}")
    tracker.close()
    assert tracker.failure is None, tracker.failure


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory):
    """An Aim repository that four processes have written at once, and its dashboard's URL."""
    outputs = tmp_path_factory.mktemp("aim") / "outputs"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=log_a_run, args=(outputs, n)) for n in range(NUM_RUNS)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(240)
        assert writer.exitcode == 0
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    aim = Path(sys.executable).parent / "aim"
    process = subprocess.Popen(
        [aim, "up", "--repo", outputs, "--host", "127.0.0.1", "--port", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until_up(process, url)
        yield outputs, url
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(outputs, ignore_errors=True)


def wait_until_up(process, url):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None
        try:
            with urllib.request.urlopen(f"{url}/api/projects/", timeout=5):
                return
        except OSError:
            time.sleep(0.3)
    raise AssertionError("aim up does not answer")


def runs(outputs):
    from aim import Repo

    repo = Repo(str(outputs))
    return {hash_: repo.get_run(hash_) for hash_ in repo.list_all_runs()}


@pytest.mark.filterwarnings("ignore")
def test_nothing_is_lost_when_several_processes_log_at_once(dashboard):
    outputs, _url = dashboard
    found = runs(outputs)
    assert len(found) == NUM_RUNS
    assert {run["hparams"]["lora"]["r"] for run in found.values()} == {8, 16, 24, 32}
    for run in found.values():
        (loss,) = [m for m in run.metrics() if m.name == "train/loss"]
        assert len(loss.dataframe()) == 20


@needs_chromium
@pytest.mark.filterwarnings("ignore")
def test_the_browser_shows_runs_params_metrics_texts_and_images(dashboard, tmp_path):
    outputs, url = dashboard
    listed = rendered(f"{url}/runs", tmp_path / "profile")
    for number in range(NUM_RUNS):
        assert f"trial-{number}" in listed
    assert "train/loss" in listed
    hash_ = next(iter(runs(outputs)))
    pages = {
        tab: rendered(f"{url}/runs/{hash_}/{tab}", tmp_path / "profile")
        for tab in ("params", "metrics", "texts", "images")
    }
    assert "lora" in pages["params"]
    assert "train/loss" in pages["metrics"]
    assert "sample answers" in pages["texts"]
    assert "by_category" in pages["images"]
