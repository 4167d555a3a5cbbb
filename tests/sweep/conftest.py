import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from evqa.config.sweep import SweeperConfig
from evqa.sweep.admission import Admission
from evqa.sweep.run import Sweep

STUB = Path(__file__).with_name("stub_train.py")


@pytest.fixture
def stub_command():
    return (sys.executable, str(STUB))


@pytest.fixture
def make_task(tmp_path, stub_command):
    """A sweep over the stub, without Hydra."""

    def make(*words, **settings):
        return Sweep(
            job="train",
            name="stub",
            seed=7,
            words=words,
            hydra_words=(),
            settings=SweeperConfig(**{"study_name": "study", "preload": "json", **settings}),
            folder=tmp_path / "sweeps",
            command=stub_command,
        )

    return make


@pytest.fixture
def behave(monkeypatch):
    def set_behaviour(**by_rank):
        named = {rank.removeprefix("r").replace("any", "*"): act for rank, act in by_rank.items()}
        monkeypatch.setenv("STUB_BEHAVIOUR", json.dumps(named))

    return set_behaviour


@pytest.fixture
def admit_all(monkeypatch):
    """Without the planner, which composes a config a point."""
    monkeypatch.setattr("evqa.sweep.run.admit", lambda job, words, factor: Admission(tuple(words)))
    monkeypatch.setattr("evqa.sweep.run.compose_config", lambda job, words: None)


def read_rows(folder):
    with (folder / "trials.csv").open() as stream:
        return list(csv.DictReader(stream))


def launched(folder):
    return [line.split() for line in (folder / "launched.log").read_text().splitlines()]


@pytest.fixture
def rows():
    return read_rows


@pytest.fixture
def launches():
    return launched


@pytest.fixture
def start(tmp_path):
    """Start ``stub_train.py -m …`` as its users do."""

    def run(*words, **options):
        return subprocess.Popen(
            [
                sys.executable,
                str(STUB),
                "-m",
                "hydra.sweeper.preload=json",
                *words,
                f"paths.outputs_dir={tmp_path}",
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    return run
