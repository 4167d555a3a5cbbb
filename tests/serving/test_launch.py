"""serve.py as its users start it, with a stand-in for vLLM."""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import psutil
import pytest
from loopback import chat_body, wait_until

from evqa.config import load_config, project_dir
from evqa.errors import UserError
from evqa.registry import Registry
from evqa.serving.fleet import Target
from evqa.serving.launch import choose_model, open_keys, target_reader
from evqa.serving.settings import dump_settings, load_settings

FAKE = shlex.join([sys.executable, str(Path(__file__).with_name("fake_vllm.py"))])


def publish(outputs):
    registry = Registry(outputs / "registry", "evqa")
    with registry.staging() as staged:
        (staged / "config.json").write_text('{"max_position_embeddings": 1024}')
        registry.publish(staged, {"parity": {"passed": True}, "verdict": "SHIP"})
    return registry


def configured(outputs, *overrides):
    return load_config("serve", [f"paths.outputs_dir={outputs}", *overrides])


def test_the_champion_is_served(tmp_path, capsys):
    registry = publish(tmp_path)
    registry.promote(1)
    publish(tmp_path)
    served = choose_model(configured(tmp_path))
    assert (served.version, served.folder) == ("evqa/1", registry.folder(1))
    assert capsys.readouterr().err == ""


def test_without_a_champion_the_candidate_is_served_with_a_warning(tmp_path, capsys):
    publish(tmp_path)
    assert choose_model(configured(tmp_path)).version == "evqa/1"
    assert "warning: evqa has no champion" in capsys.readouterr().err


def test_a_version_can_be_named_by_number_and_alias(tmp_path):
    publish(tmp_path)
    publish(tmp_path)
    for wanted, version in {"1": "evqa/1", "candidate": "evqa/2"}.items():
        assert choose_model(configured(tmp_path, f"server.version='{wanted}'")).version == version
    with pytest.raises(UserError, match="no such version"):
        choose_model(configured(tmp_path, "server.version='7'"))


def test_an_empty_registry_says_what_to_run(tmp_path):
    with pytest.raises(UserError, match=r"python train.py` and `python -m evqa.release` first"):
        choose_model(configured(tmp_path))


def test_a_folder_can_be_served_and_must_hold_a_model(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert choose_model(configured(tmp_path, f"server.model_dir={tmp_path}")).folder == tmp_path
    with pytest.raises(UserError, match=r"server\.model_dir: no model in"):
        choose_model(configured(tmp_path, f"server.model_dir={tmp_path / 'no'}"))


def test_the_first_key_is_made_once_and_printed_once(tmp_path, capsys):
    path = tmp_path / "keys.json"
    assert len(open_keys(path)) == 1
    printed = capsys.readouterr().err
    assert printed.splitlines()[-1].startswith("evqa-")
    assert len(open_keys(path)) == 1
    assert capsys.readouterr().err == ""


def test_when_every_key_is_revoked_none_is_made(tmp_path, capsys):
    path = tmp_path / "keys.json"
    path.write_text('{"keys": []}')
    assert len(open_keys(path)) == 0
    assert "warning: no good key" in capsys.readouterr().err


class Served:
    """serve.py in a process of its own."""

    def __init__(self, outputs, *overrides, how=""):
        environment = {**os.environ, "FAKE_VLLM": how, "PYTHONPATH": str(project_dir())}
        self.process = subprocess.Popen(
            [
                sys.executable, str(project_dir() / "serve.py"), f"paths.outputs_dir={outputs}",
                "server.device=cpu", "server.port=0", f'server.vllm_command="{FAKE}"', *overrides,
            ],
            env=environment, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.lines = []
        self.key = None
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        self.lines.extend(iter(self.process.stderr.readline, ""))

    def wait_until_serving(self, timeout_s=60):
        wait_until(lambda: any(line.startswith("serving ") for line in self.lines), timeout_s)
        self.url = self.lines[-1].rpartition(" ")[2].strip()
        wait_until(self._listens)
        keys = [line.strip() for line in self.lines if line.startswith("evqa-")]
        self.key = self.key or keys[0]

    def _listens(self):
        try:
            return self.get("/ready").status_code == 200
        except httpx.ConnectError:
            return False

    def get(self, path):
        return httpx.get(self.url.removesuffix("/v1") + path, trust_env=False)

    def stream(self, **fields):
        headers = {"authorization": f"Bearer {self.key}"}
        body = chat_body(stream=True, **fields)
        url = f"{self.url}/chat/completions"
        return httpx.post(url, json=body, headers=headers, trust_env=False, timeout=30)

    def end(self, timeout_s=30):
        code = self.process.wait(timeout_s)
        self._reader.join()
        self.process.stderr.close()
        return code, "".join(self.lines)

    def children(self):
        return psutil.Process(self.process.pid).children(recursive=True)


@pytest.fixture
def start(tmp_path):
    started = []

    def start_serving(*overrides, how="", published=True):
        if published:
            publish(tmp_path)
        started.append(Served(tmp_path, *overrides, how=how))
        return started[-1]

    yield start_serving
    for served in started:
        served.process.kill()
        served.end()


def gone(processes):
    return all(not p.is_running() or p.status() == psutil.STATUS_ZOMBIE for p in processes)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_lets_streams_finish_and_stops_everything(start, signum):
    served = start()
    served.wait_until_serving()
    children = served.children()
    answers = []
    client = threading.Thread(target=lambda: answers.append(served.stream(max_tokens=30)))
    client.start()
    wait_until(lambda: "in_flight 1.0" in served.get("/metrics").text)
    served.process.send_signal(signum)
    wait_until(lambda: served.get("/ready").status_code == 503)
    refused = served.stream()
    client.join()
    assert refused.json()["error"]["code"] == "server_stopping"
    assert answers[0].text.endswith("data: [DONE]\n\n")
    code, printed = served.end()
    assert code == 0
    assert printed.splitlines()[-1] == "stopped"
    assert len(children) == 2
    assert gone(children)


def test_a_second_signal_stops_at_once(start):
    served = start("server.timeouts.drain_s=60")
    served.wait_until_serving()
    cut_off = []

    def stream():
        cut_off.append(served.stream(max_tokens=500).text)

    client = threading.Thread(target=stream)
    client.start()
    wait_until(lambda: "in_flight 1.0" in served.get("/metrics").text)
    served.process.send_signal(signal.SIGINT)
    wait_until(lambda: served.get("/ready").status_code == 503)
    served.process.send_signal(signal.SIGINT)
    code, _ = served.end(15)
    client.join()
    assert code == 0
    assert '"code": "server_stopping"' in cut_off[0].splitlines()[-2]
    assert "DONE" not in cut_off[0]


def test_killing_serve_leaves_no_orphan(start):
    served = start(how="stubborn")
    served.wait_until_serving()
    children = served.children()
    assert len(children) == 3
    served.process.kill()
    wait_until(lambda: gone(children))


def test_an_engine_that_dies_is_started_again_and_503_told_meanwhile(start):
    served = start("server.timeouts.drain_s=1", how="die")
    served.wait_until_serving()
    wait_until(lambda: served.get("/ready").status_code == 503)
    refused = served.stream()
    assert refused.status_code == 503
    assert refused.json()["error"]["code"] == "engine_unavailable"
    assert int(refused.headers["retry-after"]) >= 1
    wait_until(lambda: served.get("/ready").status_code == 200, 20)
    wait_until(lambda: "evqa_engine_restarts_total" in served.get("/metrics").text)
    served.process.send_signal(signal.SIGINT)
    code, printed = served.end()
    assert code == 0
    assert "starting it again in 1 s" in printed
    assert "answers again" in printed


def test_an_engine_that_does_not_start_is_exit_5_and_leaves_nothing(start):
    served = start(how="fail")
    code, printed = served.end()
    assert code == 5
    assert printed.splitlines()[-1].startswith("error: the engine did not start: ValueError")


def test_interrupting_the_start_stops_the_engine(start):
    served = start(how="deaf")
    wait_until(lambda: len(served.children()) == 2, 60)
    children = served.children()
    served.process.send_signal(signal.SIGTERM)
    code, _ = served.end()
    assert code == 143
    assert gone(children)


def test_a_taken_port_is_exit_5_before_the_engine_starts(start, tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        served = start(f"server.port={other.getsockname()[1]}")
        code, printed = served.end()
    assert code == 5
    assert printed.splitlines()[-1].startswith("error: cannot listen on 127.0.0.1:")
    assert list((tmp_path / "serving").glob("engine*.log")) == []


def test_nothing_to_serve_is_exit_2(start):
    code, printed = start(published=False).end()
    assert code == 2
    assert printed.startswith("error: no version of 'evqa' is registered")
    assert printed.count("\n") == 1


def test_an_address_of_another_machine_is_exit_5(start):
    code, printed = start("server.host=192.0.2.1").end()
    assert code == 5
    assert "cannot listen on 192.0.2.1" in printed


def test_the_record_names_the_version(start, tmp_path):
    served = start()
    served.wait_until_serving()
    answer = served.stream(max_tokens=2)
    assert answer.headers["x-model-version"] == "evqa/1"
    served.process.send_signal(signal.SIGINT)
    served.end()
    lines = [f.read_text() for f in (tmp_path / "serving" / "requests").iterdir()]
    assert json.loads(lines[0])["version"] == "evqa/1"


def test_a_promotion_reaches_a_running_server_and_a_rollback_too(start, tmp_path):
    served = start()
    served.wait_until_serving()
    registry = publish(tmp_path)
    for change, version in [
        (lambda: registry.promote(2, force_reason="test"), "evqa/2"),
        (lambda: registry.promote(1, force_reason="test"), "evqa/1"),
        (registry.rollback, "evqa/2"),
    ]:
        change()
        wait_until(lambda v=version: served.get("/ready").json()["version"] == v, 20)
        assert served.stream(max_tokens=1).headers["x-model-version"] == version
    served.process.send_signal(signal.SIGINT)
    code, printed = served.end()
    assert code == 0
    assert "evqa/2 was promoted: taking over from evqa/1" in printed


def test_the_process_keeps_its_id_and_holds_no_hydra(start):
    served = start()
    served.wait_until_serving()
    process = psutil.Process(served.process.pid)
    assert process.cmdline()[-1].startswith("server.")  # what the user typed is still to be seen
    libraries = {Path(m.path).parts for m in process.memory_maps()}
    assert not any("torch" in parts for parts in libraries)
    assert process.memory_info().rss < 80 << 20
    soft, hard = process.rlimit(psutil.RLIMIT_NOFILE)
    assert soft == min(hard, 65_536) or soft > 65_536


def test_the_log_goes_to_standard_output_where_it_is_wanted(start, tmp_path, capfd):
    served = start("server.log=stdout")
    served.wait_until_serving()
    served.stream(max_tokens=1)
    served.process.send_signal(signal.SIGINT)
    assert served.end()[0] == 0
    rows = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [row["status"] for row in rows if row["event"] == "request"] == [200]
    assert not (tmp_path / "serving" / "server.log").exists()


def test_the_settings_arrive_as_they_were(tmp_path):
    config = configured(tmp_path, "server.timeouts.idle_s=7", "server.vllm_args=[--seed,'3']")
    arrived, project = load_settings(dump_settings(config, project_dir()))
    assert project == project_dir()
    assert arrived.server.timeouts.idle_s == 7
    assert arrived.server.vllm_args == ["--seed", "3"]
    assert arrived.server.engine == "vllm"
    assert arrived.server.keys_file is None


def targets(tmp_path, *overrides):
    return target_reader(configured(tmp_path, *overrides), "evqa/1")


def test_without_a_champion_what_is_served_stays(tmp_path):
    registry = publish(tmp_path)
    read = targets(tmp_path)
    assert read() == Target("evqa/1")
    publish(tmp_path)
    assert read() == Target("evqa/1")
    registry.promote(2, force_reason="test")
    assert read() == Target("evqa/2")


def test_an_alias_that_is_asked_for_is_followed(tmp_path):
    publish(tmp_path)
    read = targets(tmp_path, "server.version=candidate")
    publish(tmp_path)
    assert read() == Target("evqa/2")


def test_the_candidate_is_the_canary_while_there_is_one(tmp_path):
    registry = publish(tmp_path)
    registry.promote(1, force_reason="test")
    read = targets(tmp_path, "server.canary.percent=10")
    assert read() == Target("evqa/1")
    publish(tmp_path)
    assert read() == Target("evqa/1", "evqa/2")
    registry.promote(2, force_reason="test")
    assert read() == Target("evqa/2")


def test_what_uvicorn_says_is_in_the_log_and_not_between_the_operators_lines(start, tmp_path):
    served = start()
    served.wait_until_serving()
    with socket.create_connection(("127.0.0.1", int(served.url.split(":")[2][:-3])), 5) as raw:
        raw.sendall(b"\0nonsense\r\n\r\n")
        assert b"400 Bad Request" in raw.recv(4096)
    served.process.send_signal(signal.SIGINT)
    _, printed = served.end()
    assert "Invalid" not in printed
    text = (tmp_path / "serving" / "server.log").read_text()
    rows = [json.loads(line) for line in text.splitlines()]
    assert any("Invalid HTTP request" in row["event"] for row in rows)
