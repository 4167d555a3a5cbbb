"""Every command of the README is one that exists: it composes, or names a target or subcommand."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from documented_commands import dry

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands():
    for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            if words:
                yield words


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_the_command_exists(words):
    done = subprocess.run(
        dry(words), cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    if words[0] == "python" and "--help" not in words:
        assert "\n" in done.stdout


def test_the_two_commands_come_first():
    assert list(commands())[:2] == [["make", "train"], ["make", "test"]]


def test_ci_runs_the_readmes_test_command_and_the_checks():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "make test" in script
    assert "make check" in script


def test_the_python_example_compiles():
    (block,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert compile(block, "README.md", "exec")


@pytest.mark.parametrize(
    "path", sorted(set(re.findall(r"`((?:conf|data|docs|benchmarks|evqa)/[\w/]*)`", README)))
)
def test_the_folders_exist(path):
    assert (ROOT / path).is_dir()
