"""The benchmarks' logic on the smallest shapes: what they measure is what they say."""

import importlib
import json
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def beside(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    yield
    for name in ("chats", "gpu_memory", "gpu_planner", "search_simulation", "training_speed"):
        sys.modules.pop(name, None)


def test_chats_come_from_their_seed(tmp_path):
    chats = importlib.import_module("chats")
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        (tmp_path / name).mkdir()
        chats.write_chats(tmp_path / name, 20, 4, seed)
    texts = [(tmp_path / name / "train.jsonl").read_text() for name in "abc"]
    assert texts[0] == texts[1] != texts[2]
    lengths = [
        len(json.loads(line)["messages"][1]["content"].split()) for line in texts[0].splitlines()
    ]
    assert max(lengths) > 5 * min(lengths), "of many lengths"


def test_the_simulation_never_pays_for_memory_where_the_planner_is_asked():
    simulation = importlib.import_module("search_simulation")
    assert 0.2 < simulation.share_over_budget() < 0.45
    best = simulation.best_loss()
    loss, failures = simulation.search(0, 6, planned=True)
    assert failures == 0
    assert loss >= best
    assert simulation.search(0, 6, planned=True) == (loss, 0), "the seed decides"
    assert simulation.search(0, 12, planned=False)[1] > 0


def test_the_interval_is_paired():
    simulation = importlib.import_module("search_simulation")
    low, high = simulation.interval(lambda places: 0.5, 10)
    assert low == high == 0.5


def test_a_random_model_makes_steps_without_a_gpu():
    gpu_memory = importlib.import_module("gpu_memory")
    words = ["model=tiny", *gpu_memory.BASE, "model.max_length_tokens=64", "trainer=cpu"]
    for more in (["memory=none"], gpu_memory.TECHNIQUES["head in NF4"]):
        figures = gpu_memory.measure([*words, *more, "optimizer=adamw"], "cpu", 2, None)
        assert figures["peak_reserved_gib"] is None
        assert figures["tokens_a_step"] == 64
        assert figures["tokens_per_s"] > 0


def test_forty_configurations_are_compared_and_judged():
    gpu_planner = importlib.import_module("gpu_planner")
    assert len(gpu_planner.cases()) >= 40
    rows = [{"words": [], "accepted": True, "error": error} for error in (0.01, -0.05, 0.2)]
    rows.append({"words": ["big"], "accepted": True, "out_of_memory": True})
    found = gpu_planner.verdict(rows)
    assert found["median_error"] == 0.05
    assert found["p95_error"] == 0.2
    assert found["accepted_but_out_of_memory"] == [["big"]]


def test_the_speed_verdict_takes_the_best_peer():
    speed = importlib.import_module("training_speed")
    row = {"validation_loss": 2.0, "peak_rss_gib": 1.0, "label_tokens": 5}
    rates = dict.fromkeys(speed.PEERS, 100.0) | {
        "evqa": 300.0,
        "evqa, no checkpointing": 400.0,
    }
    rates["trl padding_free"] = 200.0
    rows = {name: {**row, "real_tokens_per_cpu_s": rate} for name, rate in rates.items()}
    found = speed.verdict(rows)
    assert found["best_trl"] == "trl padding_free"
    assert found["over_best_trl"] == 1.5
    assert found["over_best_trl_without_checkpointing"] == 4.0
    assert found["validation_loss_difference"] == 0.0


def test_the_page_of_recipes_is_the_planners_own_output():
    """After a change of the planner: python benchmarks/recipes.py."""
    recipes = importlib.import_module("recipes")
    found = recipes.current()
    assert found["is"] == found["should_be"]
    assert all(recipes.recipe(model).peak_gib <= 6 for model in ("llama3_1_8b", "qwen2_5_7b"))
