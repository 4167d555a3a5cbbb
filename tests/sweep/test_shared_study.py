"""Several sweepers on one study: exact totals, no number twice, a dead worker's trial retried."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import optuna
import psutil
import pytest

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
LIMIT_S = 150


def owner():
    """PostgreSQL refuses to run as root; Debian's package brings a user of its own."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid()).pw_name
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        return None


def as_owner(command, **more):
    name = owner()
    given = {"user": name, "group": pwd.getpwnam(name).pw_gid} if os.geteuid() == 0 else {}
    return subprocess.run(command, check=True, capture_output=True, cwd="/", **given, **more)


@pytest.fixture(scope="module")
def database():
    """A throw-away PostgreSQL cluster, reached through a socket in its own folder."""
    if not BINARIES or owner() is None:
        pytest.skip("PostgreSQL's server is not installed (Debian: apt-get install postgresql)")
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    folder = Path(tempfile.mkdtemp(prefix="evqa-pg-"))
    if os.geteuid() == 0:
        shutil.chown(folder, owner())
    tools = BINARIES[-1]
    try:
        as_owner([tools / "initdb", "-D", folder / "data", "-U", "evqa", "-A", "trust", "-N"])
        options = f"-k {folder} -c listen_addresses='' -c fsync=off -c shared_buffers=16MB"
        start = [tools / "pg_ctl", "-D", folder / "data", "-l", folder / "log", "-w"]
        as_owner([*start, "-o", options, "start"])
        yield f"postgresql+psycopg://evqa@/postgres?host={folder}"
        as_owner([tools / "pg_ctl", "-D", folder / "data", "-m", "immediate", "stop"])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["postgresql", pytest.param("sqlite", marks=pytest.mark.slow)])
def storage(request, tmp_path):
    if request.param == "postgresql":
        return request.getfixturevalue("database")
    return f"sqlite:///{tmp_path}/shared.db"


def words(storage, name, n_trials=12):
    return [
        f'hydra.sweeper.storage="{storage}"', f"hydra.sweeper.study_name={name}",
        "hydra.sweeper.heartbeat_s=2", f"hydra.sweeper.n_trials={n_trials}",
        "hydra.sweeper.sampler=random", "lora.r=choice(4,8,16,32)",
        "optimizer.lr=tag(log,interval(1e-5,1e-3))",
    ]  # fmt: skip


def load(storage, name):
    made = optuna.storages.RDBStorage(storage)
    try:
        return optuna.load_study(study_name=name, storage=made).get_trials()
    finally:
        made.remove_session()
        made.engine.dispose()


def check_table(trials, n_trials):
    assert [trial.number for trial in trials] == list(range(len(trials))), "no number twice"
    assert sum(trial.state.name == "COMPLETE" for trial in trials) == n_trials


def test_four_workers_and_one_of_them_killed(start, storage, tmp_path, behave):
    behave(any="slow")
    workers = [start(*words(storage, "mine", 8)) for _ in range(4)]
    victim = workers[0]
    launched = tmp_path / "sweeps" / "mine" / "launched.log"
    deadline = time.monotonic() + LIMIT_S

    def own_trials():
        if not launched.exists():
            return []
        pids = {int(line.split()[0]) for line in launched.read_text().splitlines()}
        try:
            children = psutil.Process(victim.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        return [child.pid for child in children if child.pid in pids]

    while not own_trials() and victim.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    trial_was_running = bool(own_trials())
    victim.send_signal(signal.SIGKILL)
    ends = [worker.communicate(timeout=LIMIT_S) for worker in workers]
    assert [worker.returncode for worker in workers[1:]] == [0, 0, 0], ends
    trials = load(storage, "mine")
    check_table(trials, 8)
    stale = [trial for trial in trials if trial.state.name == "FAIL"]
    retried = [trial for trial in trials if "retry_of" in trial.user_attrs]
    assert trial_was_running
    assert [trial.user_attrs["reason"] for trial in stale] == ["its worker died"]
    assert [trial.user_attrs["retry_of"] for trial in retried] == [stale[0].number]
    assert retried[0].params == stale[0].params
    assert not any(trial.state.name == "RUNNING" for trial in trials)


def test_the_same_line_again_launches_nothing(start, storage, tmp_path, behave):
    for _ in range(2):
        out, err = (process := start(*words(storage, "again", 2))).communicate(timeout=LIMIT_S)
        assert process.returncode == 0, err
    assert "2 of 2 trials are there" in out
    assert len(load(storage, "again")) == 2


@pytest.mark.slow
def test_workers_placed_by_a_launcher(start, tmp_path):
    """hydra/launcher=submitit_slurm works like this; submitit_local is the same without Slurm."""
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    storage = f"sqlite:///{tmp_path}/shared.db"
    more = ["hydra/launcher=submitit_local", "hydra.sweeper.workers=2"]
    process = start(*words(storage, "placed", 4), *more)
    _out, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, err
    check_table(load(storage, "placed"), 4)
    workers = {p.name for p in (tmp_path / "sweeps" / "placed" / "workers").iterdir()}
    assert workers == {"0", "1"}


def test_a_launcher_needs_a_shared_study(start):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    process = start("lora.r=8,16", "hydra/launcher=submitit_local")
    _out, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 2
    assert err.startswith("error: hydra/launcher: its workers need a study that they can share")


def test_a_database_that_is_not_there_is_one_line(start):
    pytest.importorskip("psycopg")
    process = start(*words("postgresql+psycopg://nobody@127.0.0.1:9/none", "gone", 2))
    _out, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 5
    assert err.startswith("error: hydra.sweeper.storage: the database says no")
    assert "Traceback" not in err
