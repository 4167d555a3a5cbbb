"""Engines of registered versions: started, started again, stopped; with a stand-in for vLLM."""

import threading
import time

import psutil
import pytest
from test_launch import FAKE, configured, publish

from evqa.errors import OutsideError, UserError
from evqa.serving.launcher import EngineLauncher, version_folder


@pytest.fixture
def launcher(tmp_path, monkeypatch):
    """Return ``make(how, *overrides)``."""
    made = []

    def make(how="", *overrides):
        monkeypatch.setenv("FAKE_VLLM", how)
        config = configured(
            tmp_path, "server.device=cpu", f'server.vllm_command="{FAKE}"',
            "server.timeouts.drain_s=1", *overrides,
        )  # fmt: skip
        made.append(EngineLauncher(config, tmp_path, tmp_path / "serving"))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_a_version_is_started_answers_and_is_stopped(launcher, tmp_path):
    publish(tmp_path)
    made = launcher()
    deployment = made.launch("evqa/1")
    assert deployment.pool.ready
    assert deployment.engine.running
    assert deployment.limits.max_tokens == 1024
    assert deployment.pool.upstreams[0].headers["authorization"].startswith("Bearer ")
    assert (tmp_path / "serving" / "engine-evqa-1.log").is_file()
    made.stop(deployment)
    assert not deployment.engine.running


def test_it_is_started_again_on_another_port_with_another_key(launcher, tmp_path):
    publish(tmp_path)
    made = launcher()
    deployment = made.launch("evqa/1")
    (before,) = deployment.pool.upstreams
    made.relaunch(deployment)
    (after,) = deployment.pool.upstreams
    assert (before.url, before.headers) != (after.url, after.headers)
    assert deployment.engine.running
    assert deployment.pool.ready
    log = (tmp_path / "serving" / "engine-evqa-1.log").read_text()
    assert log.count("environment ") == 2  # what the first said is kept


def test_two_versions_run_side_by_side_and_close_stops_both(launcher, tmp_path):
    publish(tmp_path)
    publish(tmp_path)
    made = launcher()
    deployments = [made.launch(f"evqa/{number}") for number in (1, 2)]
    processes = psutil.Process().children(recursive=True)
    assert len(processes) >= 4
    made.close()
    assert not any(deployment.engine.running for deployment in deployments)
    with pytest.raises(OutsideError, match="the server is stopping"):
        made.launch("evqa/1")


def test_one_that_fails_leaves_nothing_running(launcher, tmp_path):
    publish(tmp_path)
    before = set(psutil.Process().children(recursive=True))
    with pytest.raises(OutsideError, match="made of cheese"):
        launcher("fail").launch("evqa/1")
    assert set(psutil.Process().children(recursive=True)) <= before


def test_closing_ends_one_that_is_still_starting(launcher, tmp_path):
    publish(tmp_path)
    made = launcher("deaf")
    ended = []

    def launch():
        try:
            made.launch("evqa/1")
        except OutsideError as error:
            ended.append(str(error))

    thread = threading.Thread(target=launch)
    thread.start()
    while not made._running:
        time.sleep(0.01)
    made.close()
    thread.join(20)
    assert "did not start" in ended[0]


def test_what_is_missing_is_found_before_anything_starts(launcher, tmp_path):
    with pytest.raises(UserError, match="not a model folder"):
        launcher().check(tmp_path / "nothing")
    with pytest.raises(UserError, match=r"server\.vllm_command: no such program"):
        launcher("", "server.vllm_command=/no/such").check(tmp_path)


def test_a_version_without_a_model_is_a_user_error(tmp_path):
    registry = publish(tmp_path)
    (registry.folder(1) / "config.json").unlink()
    config = configured(tmp_path)
    with pytest.raises(UserError, match="config.json is missing"):
        version_folder(config, "evqa/1")
    with pytest.raises(UserError, match="no such version"):
        version_folder(config, "evqa/7")
