"""The words of systems=: each kind found, each mistake one line, nothing loaded to find out."""

import pytest

from evqa.config import load_config
from evqa.config.evaluation import GenerationConfig
from evqa.errors import ConfigError, UserError
from evqa.evaluation.systems import find_systems, settled, together
from evqa.files import write_json
from evqa.registry import Registry


def make_run(outputs, name="one", adapter=b"weights", **manifest):
    run = outputs / "runs" / name
    (run / "adapter").mkdir(parents=True)
    if adapter is not None:
        (run / "adapter" / "adapter_model.safetensors").write_bytes(adapter)
    values = {"finished": True, "base": {"path": "/b", "sha256": "abc"}, **manifest}
    write_json(run / "manifest.json", values)
    return run


def configured(outputs, *overrides):
    return load_config("evaluate", [f"paths.outputs_dir={outputs}", *overrides])


@pytest.fixture
def outputs(tmp_path):
    run = make_run(tmp_path)
    (tmp_path / "runs" / "latest").symlink_to(run.name)
    return tmp_path


def test_base_and_tuned_share_a_place(outputs):
    make_run(outputs, "two", b"others")
    found = find_systems(configured(outputs, "systems=[base,tuned,run:two]"))
    assert [len(group) for group in together(found)] == [2, 1]
    assert [system.with_adapter for system in found] == [False, True, True]
    assert len({system.fingerprint for system in found}) == 3


def test_the_fingerprint_follows_the_weights(outputs):
    config = configured(outputs)
    before = find_systems(config)
    file = outputs / "runs" / "one" / "adapter" / "adapter_model.safetensors"
    file.write_bytes(b"trained again")
    after = find_systems(config)
    assert before[0] == after[0]
    assert before[1].fingerprint != after[1].fingerprint


def test_a_version_and_endpoints(outputs):
    registry = Registry(outputs / "registry", "evqa")
    with registry.staging() as staged:
        (staged / "config.json").write_text("{}")
        registry.publish(staged, {})
    words = "systems=[version:evqa/1,version:evqa/candidate,endpoint:http://h:1/v1,endpoint:m@http://h:1/v1/]"
    found = find_systems(configured(outputs, words))
    assert found[0].where == found[1].where == str(registry.folder(1))
    assert [system.model for system in found[2:]] == [None, "m"]
    assert found[2].where == found[3].where == "http://h:1/v1"
    assert all(system.is_endpoint for system in found[2:])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("[base,teh]", "'teh' is not a system; allowed: base, tuned, run:NAME"),
        ("[base,'run:']", "'run:' is not a system"),
        ("[base,run:none]", "no run there"),
        ("[base,version:evqa/1]", "evqa/1: no such version"),
        ("[base,version:evqa]", "expected NAME/VERSION"),
        ("[base,endpoint:localhost]", "expected endpoint:URL"),
    ],
)
def test_mistakes_are_one_line(outputs, words, message):
    with pytest.raises(UserError, match=message):
        find_systems(configured(outputs, f"systems={words}"))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("systems=[base]", "systems: needs two or more"),
        ("systems=[base,base]", "systems: names one system twice"),
        ("metrics.verdict.metric=bleu", "metrics.verdict.metric: must be one of"),
        ("metrics.verdict.protect=[colour]", "must be among category, difficulty, split"),
        ("generation.num_seeds=3", "greedy answers do not depend on the seed"),
        ("performance.concurrency=[0]", "performance.concurrency: must be a list of numbers >= 1"),
    ],
)
def test_settings_that_contradict_are_refused(outputs, override, message):
    with pytest.raises(ConfigError, match=message):
        configured(outputs, override)


def test_a_run_without_its_adapter(outputs):
    make_run(outputs, "empty", None)
    with pytest.raises(UserError, match="holds no adapter"):
        find_systems(configured(outputs, "systems=[base,run:empty]"))


def test_the_first_run_decides_how_long_answers_are(outputs):
    made = {"generation": {"max_new_tokens": 48, "batch_size": 64}}
    make_run(outputs, "short", config=made)
    config = configured(outputs, "systems=[run:short,endpoint:http://h/v1]")
    found = settled(config, find_systems(config)).generation
    assert (found.max_new_tokens, found.batch_size) == (48, 64)
    told = configured(outputs, "systems=[run:short,tuned]", "generation.max_new_tokens=9")
    assert settled(told, find_systems(told)).generation.max_new_tokens == 9
    served = configured(outputs, "systems=[endpoint:http://h/v1,endpoint:http://i/v1]")
    assert settled(served, find_systems(served)).generation == GenerationConfig()
