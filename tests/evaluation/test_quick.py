"""Base against tuned: one loaded base, the adapter toggled, a verdict with its reasons."""

import pytest
import torch

from evqa.config.evaluation import BenchmarkConfig, GenerationConfig, MetricsConfig
from evqa.config.model import LoraConfig
from evqa.errors import UserError
from evqa.evaluation.benchmark import load_benchmark
from evqa.evaluation.metrics import METRICS
from evqa.evaluation.quick import BASE, TUNED, compare, compare_adapter, samples
from evqa.evaluation.table import comparison_rows, markdown
from evqa.models.load import attach_adapter
from evqa.records import Prediction, Question, write_jsonl


def question(number, **values):
    fields = {
        "id": f"q{number}", "question": f"What is {number}?", "answer": f"It is {number} kW.",
        "alternatives": [], "key_facts": [f"{number} kW"], "category": "ab"[number % 2],
        "difficulty": "easy", "split": "in_corpus", "source": f"d{number}", "as_of": None,
    }  # fmt: skip
    return Question(**{**fields, **values})


def predictions(system, texts):
    return [
        Prediction(
            question_id=f"q{n}", system=system, text=text, num_prompt_tokens=1,
            num_completion_tokens=1, ttft_ms=None, latency_ms=1.0, seed=0, finish_reason="stop",
            prompt_sha256="",
        )
        for n, text in enumerate(texts)
    ]  # fmt: skip


def comparison(base, tuned):
    questions = [question(n) for n in range(len(base))]
    made = {BASE: predictions(BASE, base), TUNED: predictions(TUNED, tuned)}
    return compare(questions, made, MetricsConfig(bootstrap_samples=200), "0" * 64, 0)


RIGHT = [f"It is {n} kW." for n in range(40)]
WRONG = ["It is red."] * 40


@pytest.mark.parametrize(
    ("base", "tuned", "verdict"),
    [
        (WRONG, RIGHT, "SHIP"),
        (RIGHT, WRONG, "NO_SHIP"),
        (RIGHT, RIGHT, "NO_SHIP"),
        (WRONG[:5], RIGHT[:5], "NOT_ENOUGH_DATA"),
    ],
)
def test_verdict(base, tuned, verdict):
    assert comparison(base, tuned).verdict == verdict


def test_json_has_the_agreed_form():
    values = comparison(WRONG, RIGHT).to_json()
    assert set(values["systems"]) == {BASE, TUNED}
    for system in values["systems"].values():
        assert tuple(system) == METRICS
        assert set(system["bleu"]) == {"value", "ci_low", "ci_high", "signature"}
    assert values["by_category"]["a"]["num_questions"] == 20
    assert values["systems"][TUNED]["key_fact_recall"]["value"] == 1.0
    assert values["by_split"]["in_corpus"][BASE]["key_fact_recall"] == 0.0


def test_table_and_markdown_say_what_is_certain():
    made = comparison(WRONG, RIGHT)
    row = comparison_rows(made, ("key_fact_recall",))[0]
    assert row[:4] == ["key_fact_recall", "0.0", "100.0", "+100.0"]
    assert row[4].endswith("*")
    page = markdown(made, samples(made, 3))
    assert page.startswith("# SHIP")
    assert page.count("- reference: ") == 3


def test_samples_are_spread():
    picked = samples(comparison(WRONG, RIGHT), 3)
    assert [s["question"] for s in picked] == ["What is 0?", "What is 13?", "What is 26?"]
    assert samples(comparison(WRONG, RIGHT), 0) == []


def test_the_adapter_is_toggled(tiny_base):
    model = attach_adapter(tiny_base.model, LoraConfig(r=4))
    torch.manual_seed(0)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    made = compare_adapter(
        model,
        tiny_base.tokenizer,
        [question(n) for n in range(4)],
        GenerationConfig(max_new_tokens=6),
        MetricsConfig(bootstrap_samples=100),
        "0" * 64,
        0,
    )
    base, tuned = ([p.text for p in made.predictions[s]] for s in (BASE, TUNED))
    assert base != tuned
    prompts = [[p.prompt_sha256 for p in made.predictions[s]] for s in (BASE, TUNED)]
    assert prompts[0] == prompts[1]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no question in it"),
        ([question(1), question(1)], "id 'q1' stands 2 times"),
        ([question(1, split="train")], "split must be in_corpus or held_out"),
        ([question(1, answer=" ")], "q1: the answer is empty"),
    ],
)
def test_a_bad_benchmark_is_one_line(tmp_path, rows, message):
    path = tmp_path / "b.jsonl"
    write_jsonl(path, rows)
    with pytest.raises(UserError, match=message):
        load_benchmark(BenchmarkConfig(path=str(path)))


def test_a_missing_benchmark(tmp_path):
    with pytest.raises(UserError, match=r"benchmark.path=.*no such file"):
        load_benchmark(BenchmarkConfig(path=str(tmp_path / "none.jsonl")))


def test_max_questions(tmp_path):
    path = tmp_path / "b.jsonl"
    write_jsonl(path, [question(n) for n in range(5)])
    assert len(load_benchmark(BenchmarkConfig(path=str(path), max_questions=2))) == 2


@pytest.mark.parametrize("name", METRICS)
def test_every_interval_holds_its_value(name):
    made = comparison([f"It is {n % 3} kW." for n in range(40)], RIGHT)
    for system in (BASE, TUNED):
        found = made.intervals[system][name]
        assert found.low - 1e-9 <= found.value <= found.high + 1e-9
    difference = made.differences[name]
    assert difference.low - 1e-9 <= difference.value <= difference.high + 1e-9
