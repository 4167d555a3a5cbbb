"""The loop: totals are totals, a kill at any moment changes nothing, the planner has its say."""

import contextlib
import json
import random

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evqa.config import TrainConfig
from evqa.config.sweep import Pruner, Sampler, SweeperConfig
from evqa.errors import ConfigError, GateError, UserError
from evqa.files import folder_lock
from evqa.sweep.admission import Admission
from evqa.sweep.outcome import Outcome
from evqa.sweep.proposal import build_pruner
from evqa.sweep.run import sweep
from evqa.sweep.search import Hooks, Search
from evqa.sweep.space import parse_space
from evqa.sweep.study import SweepStudy

RATE = "optimizer.lr=tag(log,interval(1e-5,1e-3))"
RANKS = "lora.r=choice(4,8,16,32,64)"
pytestmark = pytest.mark.usefixtures("admit_all")


class Killed(BaseException):
    """A SIGKILL, for tests within one process."""


def loss(words):
    values = dict(word.split("=") for word in words)
    rank, rate = float(values["lora.r"]), float(values["optimizer.lr"])
    return abs(rank - 16) / 16 + abs(rate - 3e-4) * 1e3


def admit_under_64(words):
    over = "lora.r=64" in words
    return Admission(tuple(words), "too big" if over else None, 5.0 + over, float(over) - 0.5)


def run_search(folder, die_at=(), n_trials=8, sampler=Sampler.tpe, admit=admit_under_64):
    """Run a search whose moments (before and after a launch) are counted; die at some of them."""
    moments = iter(range(10_000))

    def moment():
        if next(moments) in die_at:
            raise Killed

    def launch(words, _folder, _watch):
        moment()
        value = loss(words)
        moment()
        return Outcome(reason="odd") if value > 2.5 else Outcome(values=(value,))

    config = SweeperConfig(n_trials=n_trials, sampler=sampler, max_infeasible=20)
    space = parse_space([RANKS, RATE], TrainConfig)
    study = SweepStudy(folder, config, "same")
    try:
        search = Search(study, space, config, 7, Hooks(admit, launch, lambda trial: moment()))
        stopped = search.run()
        return stopped, [
            (t.number, t.params, t.state.name, t.value, t.user_attrs.get("infeasible"))
            for t in study.trials()
        ]
    finally:
        study.close()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    stopped, table = run_search(tmp_path_factory.mktemp("whole") / "study", n_trials=12)
    assert stopped is None
    return table


@given(st.lists(st.integers(0, 12), min_size=1, max_size=3))
@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_kills_at_any_moment_leave_the_uninterrupted_table(
    tmp_path_factory, uninterrupted, deaths
):
    folder = tmp_path_factory.mktemp("killed") / "study"
    for moment in deaths:
        try:
            run_search(folder, die_at={moment}, n_trials=12)
        except Killed:
            continue
    assert run_search(folder, n_trials=12) == (None, uninterrupted)


def test_the_total_counts_what_was_launched(uninterrupted):
    refused = [row for row in uninterrupted if row[4]]
    assert refused, "the space has points over budget"
    assert all(row[1]["lora.r[4,8,16,32,64]"] == 4 and row[2] == "PRUNED" for row in refused)
    assert len(uninterrupted) - len(refused) == 12


def test_a_larger_total_goes_on_where_the_smaller_ended(tmp_path, uninterrupted):
    run_search(tmp_path / "study", n_trials=5)
    assert run_search(tmp_path / "study", n_trials=5) == run_search(tmp_path / "study", n_trials=5)
    assert run_search(tmp_path / "study", n_trials=12)[1] == uninterrupted


def test_infeasible_points_only_end_the_search(tmp_path):
    refuse = lambda words: Admission(tuple(words), "too big", 9.0, 3.0)  # noqa: E731
    stopped, table = run_search(tmp_path / "study", admit=refuse)
    assert "20 points in a row could not run" in stopped
    assert "too big" in stopped
    assert len(table) == 20


def test_random_differs_from_tpe_after_the_first_points(tmp_path, uninterrupted):
    table = run_search(tmp_path / "study", n_trials=12, sampler=Sampler.random)[1]
    assert [row[1] for row in table] != [row[1] for row in uninterrupted[: len(table)]]


def test_finite_lists_run_in_order(make_task, rows, launches):
    task = make_task("lora.r=32,8", "optimizer.lr=1e-3,1e-4", "seed=1")
    sweep(task)
    found = [(row["lora.r"], row["optimizer.lr"]) for row in rows(task.study_folder)]
    assert found == [("32", "0.001"), ("32", "0.0001"), ("8", "0.001"), ("8", "0.0001")]
    assert all("seed=1" in line for line in launches(task.study_folder))


def test_the_same_line_again_launches_nothing(make_task, launches, capsys):
    task = make_task("lora.r=8,16")
    sweep(task)
    before = launches(task.study_folder)
    sweep(task)
    assert launches(task.study_folder) == before
    assert "2 trials are there" in capsys.readouterr().out


def test_best_yaml_says_how_to_repeat_the_best(make_task):
    task = make_task("lora.r=8,16,32", "seed=3")
    sweep(task)
    best = yaml.safe_load((task.study_folder / "best.yaml").read_text())
    assert best["trial"] == 1
    assert best["overrides"] == ["seed=3", "lora.r=16"]
    assert best["command"] == "python stub_train.py seed=3 lora.r=16"
    assert best["direction"] == "minimize"
    assert best["measured_gib"] == 1.5


def test_a_figure_of_which_more_is_better_is_maximised(make_task):
    task = make_task("lora.r=8,64", objective="key_fact_recall")
    sweep(task)
    assert yaml.safe_load((task.study_folder / "best.yaml").read_text())["trial"] == 1


@pytest.mark.parametrize("keep", [0, 1, 2])
def test_only_the_best_keep_their_adapters(make_task, keep):
    task = make_task("lora.r=64,8,16", keep_best=keep)
    sweep(task)
    kept = sorted(path.parent.name for path in task.study_folder.glob("trials/*/adapter"))
    assert kept == sorted(["2", "1", "0"][:keep])
    assert len(list(task.study_folder.glob("trials/*/manifest.json"))) == 3


def test_failures_are_one_row_each_and_the_sweep_goes_on(make_task, rows, behave):
    behave(r8="kill", r16="fail", r32="hang")
    task = make_task("lora.r=8,16,32,64", trial_timeout_s=0.5)
    with pytest.raises(GateError, match=r"3 of 4 combinations did not finish \(trials 0, 1, 2"):
        sweep(task)
    assert [row["state"] for row in rows(task.study_folder)] == ["FAIL"] * 3 + ["COMPLETE"]
    assert [row["reason"].partition(":")[0] for row in rows(task.study_folder)] == [
        "killed by SIGKILL",
        "exit code 3",
        "took longer than hydra.sweeper.trial_timeout_s=0.5",
        "",
    ]


def test_a_search_with_one_success_is_a_success(make_task, behave):
    behave(r8="fail")
    sweep(make_task("lora.r=choice(8,16)", n_trials=6, sampler=Sampler.random))


def test_all_trials_failed_is_a_gate(make_task, behave, capsys):
    behave(any="fail")
    with pytest.raises(GateError, match="no trial of 2 finished; the last: exit code 3"):
        sweep(make_task("lora.r=8,16"))
    assert "2 failed" in capsys.readouterr().out


def test_a_finished_trial_that_was_not_recorded_is_not_run_again(make_task, launches):
    task = make_task("lora.r=8,16")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SweepStudy, "finish", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            sweep(task)
    sweep(task)
    assert [line[1] for line in launches(task.study_folder)] == ["0", "1"]


def test_a_time_limit_is_a_total(make_task, rows, behave):
    behave(any="slow")
    task = make_task("lora.r=choice(4,8,16)", timeout_s=0.5)
    sweep(task)
    assert len(rows(task.study_folder)) == 2
    sweep(task)
    assert len(rows(task.study_folder)) == 2


def test_a_grid_ends_with_its_total(make_task, rows):
    task = make_task("lora.r=4,8,16,32", sampler=Sampler.grid, n_trials=3)
    sweep(task)
    assert [row["lora.r"] for row in rows(task.study_folder)] == ["4", "8", "16"]


REFUSED = [
    (["lora.r=8,16"], {"pruner": Pruner.median, "objective": "bleu"}, "pruner: needs objective="),
    (["lora.r=8"], {"second_objective": "validation_loss"}, "second_objective: must differ"),
    (["lora.r=8"], {"workers": 4}, "workers: needs hydra.sweeper.storage"),
    (
        ["lora.r=choice(8,16)"],
        {"second_objective": "tokens_per_s", "sampler": Sampler.cmaes, "n_trials": 2},
        "sampler=cmaes: it knows one objective",
    ),
    ([RATE], {}, "hydra.sweeper.n_trials: must be set, because optimizer.lr"),
    ([RATE], {"sampler": Sampler.grid}, "sampler=grid: optimizer.lr is a continuous range"),
    ([RATE], {"n_trials": 0}, "hydra.sweeper.n_trials: must be >= 1"),
    (
        ["lora.r=1"],
        {"objective": "loss"},
        "hydra.sweeper.objective: must be one of validation_loss",
    ),
]


@pytest.mark.parametrize(("words", "given", "line"), REFUSED)
def test_a_wrong_search_is_one_line_and_leaves_nothing(make_task, words, given, line):
    task = make_task(*words, **given)
    with pytest.raises(ConfigError, match=line):
        sweep(task)
    assert not task.study_folder.exists()


def test_a_sampler_without_its_package_says_what_to_install(make_task, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install cmaes"):
        sweep(make_task(RATE, sampler=Sampler.cmaes, n_trials=1))


def test_another_search_does_not_continue_a_study(make_task):
    sweep(make_task("lora.r=8,16"))
    with pytest.raises(ConfigError, match="give another study_name"):
        sweep(make_task("lora.r=8,32"))


def test_totals_and_limits_do_not_make_another_search(make_task):
    one, other = make_task(RANKS, n_trials=1), make_task(RANKS, n_trials=9, keep_best=3)
    assert one.fingerprint == other.fingerprint
    assert one.fingerprint != make_task(RANKS, "seed=2").fingerprint


def test_two_sweeps_do_not_share_a_study(make_task):
    task = make_task("lora.r=8,16")
    with folder_lock(task.study_folder), pytest.raises(UserError, match="another sweep"):
        sweep(task)


def test_the_command_line_has_the_last_word_over_the_yaml(make_task, rows):
    task = make_task("lora.r=4", params={"lora.r": "8,16", "seed": "1,2"})
    sweep(task)
    assert [row["seed"] for row in rows(task.study_folder)] == ["1", "2"]
    assert "lora.r" not in rows(task.study_folder)[0]


def test_the_sampler_is_the_only_chance(tmp_path):
    random.seed(1)
    first = run_search(tmp_path / "a" / "study", n_trials=12)
    random.seed(2)
    assert run_search(tmp_path / "b" / "study", n_trials=12) == first


def curves(words):
    """Validation losses of a trial by step: high ranks look bad from the start."""
    return [(step, loss(words) + 1 / step) for step in (4, 8, 12)]


def run_pruned(folder, pruner, die_at=(), watch_late=False):
    """A search whose trials are watched at every validation, or only when they have ended."""
    moments = iter(range(10_000))
    config = SweeperConfig(n_trials=8, pruner=pruner, pruner_startup_trials=2)
    space = parse_space([RANKS, RATE], TrainConfig)
    study = SweepStudy(folder, config, "same", build_pruner(config))

    def launch(words, trial_folder, watch):
        trial_folder.mkdir(parents=True)
        for step, value in curves(words):
            with (trial_folder / "validations.jsonl").open("a") as stream:
                stream.write(json.dumps({"step": step, "validation_loss": value}) + "\n")
            if not watch_late and (pruned := watch()):
                return Outcome(pruned=pruned)
            if next(moments) in die_at:
                raise Killed
        pruned = watch()
        return Outcome(pruned=pruned) if pruned else Outcome(values=(loss(words),))

    try:
        hooks = Hooks(lambda words: Admission(tuple(words)), launch, lambda trial: None)
        Search(study, space, config, 3, hooks).run()
        return [(t.number, t.params, t.state.name, t.value) for t in study.trials()]
    finally:
        study.close()


@pytest.mark.parametrize(
    "pruner",
    [
        Pruner.median,
        pytest.param(Pruner.patient, marks=pytest.mark.slow),
        pytest.param(Pruner.hyperband, marks=pytest.mark.slow),
    ],
)
def test_pruning_depends_on_the_losses_alone(tmp_path, pruner):
    """Not on when the sweep looks, nor on how often it is killed."""
    table = run_pruned(tmp_path / "a" / "study", pruner)
    states = {row[2] for row in table}
    assert "COMPLETE" in states
    assert pruner is not Pruner.median or "PRUNED" in states
    assert len(table) == 8, "what the pruner stopped counts"
    assert run_pruned(tmp_path / "b" / "study", pruner, watch_late=True) == table
    for moment in (1, 7):
        with contextlib.suppress(Killed):
            run_pruned(tmp_path / "c" / "study", pruner, die_at={moment})
    assert run_pruned(tmp_path / "c" / "study", pruner) == table


def test_a_pruned_trial_is_a_row_with_its_reason(make_task, rows):
    task = make_task(
        "lora.r=choice(4,8,16,32,64,128)", n_trials=10, pruner=Pruner.median,
        pruner_startup_trials=2, sampler=Sampler.random,
    )  # fmt: skip
    sweep(task)
    stopped = [row for row in rows(task.study_folder) if row["state"] == "PRUNED"]
    assert stopped
    assert all(row["reason"].startswith("stopped at step") for row in stopped)
    assert all(row["validation_loss"] == "" for row in stopped)


def test_two_objectives_have_a_front(make_task, rows):
    task = make_task("lora.r=4,8,16,32", second_objective="tokens_per_s", keep_best=1)
    sweep(task)
    table = rows(task.study_folder)
    assert [row["tokens_per_s"] for row in table] == ["4.0", "8.0", "16.0", "32.0"]
    best = yaml.safe_load((task.study_folder / "best.yaml").read_text())
    assert best["trial"] == 2, "the first objective decides"
    assert [entry["trial"] for entry in best["pareto"]] == [2, 3]
    kept = {path.parent.name for path in task.study_folder.glob("trials/*/adapter")}
    assert kept == {"2", "3"}, "every trial of the front keeps its adapter"
    assert (task.study_folder / "plots" / "pareto.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "sampler", [Sampler.tpe, Sampler.random, pytest.param(Sampler.gp, marks=pytest.mark.slow)]
)
def test_samplers_take_two_objectives(make_task, rows, sampler):
    task = make_task(
        "lora.r=choice(4,8,16)", second_objective="tokens_per_s", n_trials=3, sampler=sampler
    )
    sweep(task)
    assert len(rows(task.study_folder)) == 3


def test_pictures_and_a_page(make_task):
    task = make_task("lora.r=4,8,16", "optimizer.lr=1e-3,1e-4")
    sweep(task)
    names = {path.name for path in (task.study_folder / "plots").iterdir()}
    assert names == {"history.png", "importance.png", "slice.png"}
    page = (task.study_folder / "plots.html").read_text()
    assert page.count("data:image/png;base64,") == 3
    assert "http" not in page.replace("https", "http").split("</style>")[1].lower()


def test_one_trial_makes_no_picture(make_task):
    task = make_task("lora.r=8")
    sweep(task)
    assert not (task.study_folder / "plots").exists()


def test_trials_are_grouped_by_study_in_the_tracker(make_task, launches):
    sweep(make_task("lora.r=8"))
    task = make_task("lora.r=8", "logger.experiment=mine", study_name="other")
    sweep(task)
    assert "logger.experiment='study'" in launches(task.folder / "study")[0]
    assert "logger.experiment='other'" not in launches(task.study_folder)[0]
