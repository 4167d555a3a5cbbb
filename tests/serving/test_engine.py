import io
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest
from loopback import wait_until

from evqa.config import load_config
from evqa.errors import OutsideError, UserError
from evqa.serving import engine as engine_module
from evqa.serving.engine import (
    EngineCommand,
    EngineProcess,
    context_tokens,
    find_vllm,
    free_port,
    transformers_engine,
    uses_gpu,
    vllm_engine,
)

FAKE = [sys.executable, str(Path(__file__).with_name("fake_vllm.py"))]


@pytest.fixture
def model_dir(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"max_position_embeddings": 512}))
    return folder


def server(*overrides):
    return load_config("serve", ["server.device=cpu", *overrides]).server


def option(command, name):
    return command.arguments[command.arguments.index(name) + 1]


def test_vllm_listens_on_loopback_with_a_key_that_ps_does_not_show(model_dir):
    command = vllm_engine(server(), ["vllm"], model_dir)
    assert command.arguments[:3] == ["vllm", "serve", str(model_dir)]
    assert option(command, "--host") == "127.0.0.1"
    assert command.environment["VLLM_API_KEY"] == command.key
    assert command.key not in " ".join(command.arguments)
    assert command.key != vllm_engine(server(), ["vllm"], model_dir).key


def test_settings_become_arguments(model_dir):
    config = server(
        "server.model_name=ev",
        "server.dtype=float32",
        "server.max_num_seqs=7",
        "server.kv_cache_gib=0.5",
        "server.vllm_args=[--seed,'3']",
        "server.timeouts.drain_s=12",
    )
    command = vllm_engine(config, ["vllm"], model_dir)
    expected = {
        "--served-model-name": "ev",
        "--dtype": "float32",
        "--max-num-seqs": "7",
        "--kv-cache-memory-bytes": str(2**29),
        "--shutdown-timeout": "12",
        "--seed": "3",
    }
    assert {name: option(command, name) for name in expected} == expected


def test_the_cpu_has_its_own_flags(model_dir):
    command = vllm_engine(server("server.num_threads=3"), ["vllm"], model_dir)
    assert "--enforce-eager" in command.arguments
    assert command.environment["OMP_NUM_THREADS"] == "3"
    assert command.environment["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0"
    assert command.environment["TORCHDYNAMO_DISABLE"] == "1"
    assert command.environment["VLLM_CPU_KVCACHE_SPACE"] is None


def test_the_gpu_has_none_of_them(model_dir):
    command = vllm_engine(server("server.device=gpu"), ["vllm"], model_dir)
    assert "--enforce-eager" not in command.arguments
    assert "--kv-cache-memory-bytes" not in command.arguments
    assert not command.environment.keys() & {"OMP_NUM_THREADS", "VLLM_ENABLE_V1_MULTIPROCESSING"}


def test_auto_follows_nvidias_driver(monkeypatch, tmp_path):
    monkeypatch.setattr(engine_module, "NVIDIA_DRIVER", tmp_path / "version")
    assert not uses_gpu(server("server.device=auto"))
    (tmp_path / "version").write_text("NVRM")
    assert uses_gpu(server("server.device=auto"))
    assert not uses_gpu(server("server.device=cpu"))


@pytest.mark.parametrize(("asked", "expected"), [(128, 128), (512, 512), (4096, 512)])
def test_the_context_is_never_longer_than_the_models(model_dir, asked, expected):
    config = server(f"server.max_model_len={asked}")
    assert context_tokens(config, model_dir) == expected
    assert option(vllm_engine(config, ["vllm"], model_dir), "--max-model-len") == str(expected)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(UserError, match="not a model folder"):
        context_tokens(server(), tmp_path)


def test_vllm_is_looked_for_on_path_then_in_the_project(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(OutsideError, match="make serve-env"):
        find_vllm(server(), tmp_path)
    for folder in (tmp_path / ".venv-vllm" / "bin", tmp_path / "bin"):
        folder.mkdir(parents=True)
        program = folder / "vllm"
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        assert find_vllm(server(), tmp_path) == [str(program)]


def test_a_vllm_command_may_have_arguments_and_must_exist(tmp_path):
    config = server("server.vllm_command='env A=1 vllm'")
    assert find_vllm(config, tmp_path) == ["env", "A=1", "vllm"]
    with pytest.raises(UserError, match=r"server\.vllm_command: no such program"):
        find_vllm(server("server.vllm_command=/no/such/vllm"), tmp_path)


def test_transformers_serves_under_the_models_name(model_dir, tmp_path):
    for _ in range(2):
        command = transformers_engine(server("server.model_name=ev"), model_dir, tmp_path / "t")
    assert command.arguments[1:3] == ["serve", "ev"]
    assert (command.cwd / "ev").resolve() == model_dir
    assert not command.says_done
    assert not command.bounds_prompts
    assert {"n", "logprobs", "response_format"} <= command.unsupported


def fake_engine(tmp_path, how="", **environment):
    port = free_port()
    command = EngineCommand(
        arguments=[*FAKE, "--port", str(port)],
        environment={"FAKE_VLLM": how, "VLLM_API_KEY": "k", **environment},
        port=port,
        cwd=tmp_path,
        key="k",
    )
    return EngineProcess(command, tmp_path / "logs" / "engine.log", tmp_path)


@pytest.fixture
def start(tmp_path):
    engines = []

    def start_engine(how="", **environment):
        engines.append(fake_engine(tmp_path, how, **environment))
        engines[-1].start()
        return engines[-1]

    yield start_engine
    for engine in engines:
        engine.stop(0)


def test_it_is_waited_for_and_said_when_it_answers(start):
    report = io.StringIO()
    engine = start()
    engine.wait_until_ready(30, report)
    assert "the engine answers after" in report.getvalue()
    assert engine.running


def test_progress_is_reported_while_it_loads(start, monkeypatch):
    monkeypatch.setattr(engine_module, "REPORT_EVERY_S", 0.2)
    report = io.StringIO()
    with pytest.raises(OutsideError, match=r"start_timeout_s=1 .*engine\.log"):
        start("deaf").wait_until_ready(1, report)
    assert report.getvalue().count("loading the engine") >= 2


def test_one_that_fails_is_told_with_its_last_error(start):
    with pytest.raises(OutsideError, match=r"made of cheese \(log: .*engine\.log\)"):
        start("fail").wait_until_ready(30, io.StringIO())


def test_its_environment_is_set_and_unset(start, monkeypatch):
    monkeypatch.setenv("UNWANTED", "1")
    monkeypatch.setenv("KEPT", "1")
    engine = start(UNWANTED=None, ADDED="2")
    engine.wait_until_ready(30, io.StringIO())
    seen = json.loads(engine.log_path.read_text().split("environment ")[1])
    assert (seen.get("UNWANTED"), seen["KEPT"], seen["ADDED"]) == (None, "1", "2")


def test_a_proxy_in_the_environment_is_not_asked(start, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    engine = start()
    engine.wait_until_ready(30, io.StringIO())
    assert engine.running


def processes_of(engine):
    root = psutil.Process(engine._process.pid)
    return [root, *root.children(recursive=True)]


def gone(processes):
    return all(not p.is_running() or p.status() == psutil.STATUS_ZOMBIE for p in processes)


def test_stopping_leaves_nothing(start):
    engine = start()
    engine.wait_until_ready(30, io.StringIO())
    processes = processes_of(engine)
    assert len(processes) == 2
    engine.stop(10)
    assert gone(processes)
    assert not engine.running
    engine.stop(10)


def test_one_that_does_not_heed_is_killed_with_its_children(start):
    engine = start("stubborn")
    engine.wait_until_ready(30, io.StringIO())
    processes = processes_of(engine)
    assert len(processes) == 3
    engine.stop(0.3)
    wait_until(lambda: gone(processes))


PARENT = """
    import sys, time, io
    sys.path.insert(0, {tests!r})
    from pathlib import Path
    from test_engine import fake_engine
    engine = fake_engine(Path({folder!r}), "stubborn")
    engine.start()
    engine.wait_until_ready(30, io.StringIO())
    print("ready", flush=True)
    time.sleep(600)
"""


def test_it_dies_with_its_parent_even_when_that_is_killed(tmp_path):
    script = PARENT.format(tests=str(Path(__file__).parent), folder=str(tmp_path))
    parent = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script)], stdout=subprocess.PIPE
    )
    with parent.stdout:
        assert parent.stdout.readline() == b"ready\n"
        processes = psutil.Process(parent.pid).children(recursive=True)
        assert len(processes) == 3
        parent.kill()
        parent.wait()
    wait_until(lambda: gone(processes))


def test_it_dies_with_its_guardian(start):
    engine = start()
    engine.wait_until_ready(30, io.StringIO())
    guardian, child = processes_of(engine)
    os.kill(guardian.pid, signal.SIGKILL)
    wait_until(lambda: gone([child]))
    assert not engine.running


def test_a_free_port_is_free():
    with socket.socket() as probe:
        port = free_port()
        probe.bind(("127.0.0.1", port))
        assert probe.getsockname()[1] == port
