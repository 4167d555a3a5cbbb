"""Two systems or more: scores, intervals, breakdowns, the agreed JSON."""

import pytest
from answers_for_tests import RIGHT, WRONG, compared, predictions, question

from evqa.config.evaluation import BenchmarkConfig, MetricsConfig
from evqa.errors import UserError
from evqa.evaluation.benchmark import load_benchmark
from evqa.evaluation.comparison import BASE, TUNED, compare, samples
from evqa.evaluation.metrics import METRICS
from evqa.evaluation.table import comparison_rows
from evqa.records import write_jsonl


def test_json_has_the_agreed_form():
    values = compared(WRONG, RIGHT).to_json()
    assert set(values["systems"]) == {BASE, TUNED}
    for system in values["systems"].values():
        assert tuple(system) == METRICS
        assert set(system["bleu"]) == {"value", "ci_low", "ci_high", "signature"}
    assert values["by_category"]["a"]["num_questions"] == 20
    assert values["by_category"]["a"]["difference"]["value"] == 1.0
    assert values["systems"][TUNED]["key_fact_recall"]["value"] == 1.0
    assert values["by_split"]["in_corpus"][BASE]["key_fact_recall"] == 0.0
    assert values["num_documents"] == 40


def test_an_interval_that_is_not_known_is_null_in_json():
    values = compared(WRONG, RIGHT, [question(n, source="one") for n in range(40)]).to_json()
    assert values["differences"]["token_f1"]["ci_low"] is None


def test_the_table_says_what_is_certain():
    row = comparison_rows(compared(WRONG, RIGHT), ("key_fact_recall",))[0]
    assert row[:4] == ["key_fact_recall", "0.0", "100.0", "+100.0"]
    assert row[4].endswith("*")


def test_samples_are_spread():
    picked = samples(compared(WRONG, RIGHT), 3)
    assert [s["question"] for s in picked] == ["What is 0?", "What is 13?", "What is 26?"]
    assert samples(compared(WRONG, RIGHT), 0) == []


def test_a_third_system_is_compared_with_the_first():
    questions = [question(n) for n in range(40)]
    made = {
        "a": predictions("a", WRONG),
        "b": predictions("b", RIGHT),
        "c": predictions("c", RIGHT[:20] + WRONG[20:]),
    }
    values = compare(questions, made, MetricsConfig(bootstrap_samples=200), "0" * 64, 0).to_json()
    assert values["differences"]["key_fact_recall"]["value"] == 1.0
    assert values["other_differences"]["c"]["key_fact_recall"]["value"] == 0.5


def test_several_seeds_are_one_question_in_the_count():
    questions = [question(n) for n in range(10)] * 3
    made = {BASE: predictions(BASE, WRONG[:30]), TUNED: predictions(TUNED, RIGHT[:10] * 3)}
    found = compare(questions, made, MetricsConfig(bootstrap_samples=100), "0" * 64, 0)
    assert found.to_json()["num_questions"] == 10
    assert found.main.num_clusters == 10


@pytest.mark.parametrize("name", METRICS)
def test_every_interval_holds_its_value(name):
    made = compared([f"It is {n % 3} kW." for n in range(40)], RIGHT)
    for system in (BASE, TUNED):
        found = made.intervals[system][name]
        assert found.low - 1e-9 <= found.value <= found.high + 1e-9
    difference = made.differences[TUNED][name]
    assert difference.low - 1e-9 <= difference.value <= difference.high + 1e-9


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


def test_a_wrong_category_is_named_where_categories_are_given(tmp_path):
    path = tmp_path / "b.jsonl"
    write_jsonl(path, [question(1), question(2, category="colour")])
    assert len(load_benchmark(BenchmarkConfig(path=str(path)))) == 2
    with pytest.raises(UserError, match="q2: category must be one of a, b, got 'colour'"):
        load_benchmark(BenchmarkConfig(path=str(path), categories=["a", "b"]))


def test_a_missing_field_is_named_with_its_line(tmp_path):
    path = tmp_path / "b.jsonl"
    path.write_text('{"id": "q1", "question": "?"}\n')
    with pytest.raises(UserError, match=r"b\.jsonl:1: not a Question: .*answer"):
        load_benchmark(BenchmarkConfig(path=str(path)))


def test_a_missing_file_names_its_key(tmp_path):
    config = BenchmarkConfig(path=str(tmp_path / "none.jsonl"))
    with pytest.raises(UserError, match=r"benchmark.path=.*no such file"):
        load_benchmark(config)
    with pytest.raises(UserError, match=r"retention.path=.*no such file"):
        load_benchmark(config, "retention")


def test_max_questions(tmp_path):
    path = tmp_path / "b.jsonl"
    write_jsonl(path, [question(n) for n in range(5)])
    assert len(load_benchmark(BenchmarkConfig(path=str(path), max_questions=2))) == 2
