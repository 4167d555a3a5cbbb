import io
import json
import sys

import pytest
from traced_world import ANSWER, REQUEST, request_record, write_requests

from evqa import cli
from evqa import config as config_package


@pytest.fixture
def run(world, monkeypatch, capsys):
    """Return ``run(*words)``: exit code, what was printed, what was said on stderr."""
    monkeypatch.setattr(config_package, "project_dir", lambda: world.root)

    def run_command(*words):
        line = ["evqa", "trace", *map(str, words), "--outputs-dir", str(world.outputs)]
        monkeypatch.setattr(sys, "argv", line)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        return ended.value.code or 0, captured.out, captured.err

    return run_command


def test_a_whole_chain_is_exit_0(run):
    code, out, err = run(REQUEST)
    assert (code, err) == (0, "")
    assert "CC-BY-4.0" in out


def test_a_broken_chain_is_exit_4_and_one_line(run, world):
    (world.base / "model.safetensors").write_bytes(b"other")
    code, out, err = run(REQUEST)
    assert code == 4
    assert err.startswith("error: the chain is broken: base")
    assert err.count("\n") == 1
    assert "✗ base" in out


def test_mistakes_are_exit_2(run, tmp_path):
    assert run("req-9")[0] == 2
    code, _, err = run(REQUEST, "--answer", tmp_path / "none.txt")
    assert (code, err) == (2, f"error: --answer: no such file: {tmp_path / 'none.txt'}\n")
    assert run()[0] == 2


def test_json_and_page(run, tmp_path):
    page = tmp_path / "trace.html"
    code, out, _ = run(REQUEST, "--json", "--html", page, "--num-nearest", "1")
    assert code == 0
    assert len(json.loads(out)["evidence"]) == 1
    assert page.read_text().startswith("<!doctype html>")


def test_the_answer_comes_from_a_file_or_standard_input(run, world, tmp_path, monkeypatch):
    write_requests(world, request_record())
    assert "--answer FILE" in run(REQUEST)[1]
    file = tmp_path / "answer.txt"
    file.write_text(ANSWER)
    assert "nearest training pairs" in run(REQUEST, "--answer", file)[1]
    monkeypatch.setattr(sys, "stdin", io.StringIO(ANSWER + "\n"))
    assert "nearest training pairs" in run(REQUEST, "--answer", "-")[1]
