import json

import pytest
from test_store import publish

from evqa.errors import UserError
from evqa.registry import Registry
from evqa.registry.maintenance import collect_garbage, differences


@pytest.fixture
def registry(tmp_path):
    registry = Registry(tmp_path, "evqa")
    for _ in range(6):
        publish(registry)
    return registry


def folders(registry):
    return sorted(int(path.name) for path in registry.root.iterdir() if path.is_dir())


def test_old_versions_without_alias_go(registry):
    registry.promote(1)
    registry.promote(2)
    assert collect_garbage(registry, 2) == ["evqa/3", "evqa/4"]
    assert registry.versions() == folders(registry) == [1, 2, 5, 6]
    assert all(registry.problems(version) == [] for version in registry.versions())
    assert collect_garbage(registry, 2) == []


def test_a_dry_run_only_tells(registry):
    (registry.root / ".staging-killed").mkdir()
    told = collect_garbage(registry, 3, dry_run=True)
    assert told == ["evqa/1", "evqa/2", "evqa/3", str(registry.root / ".staging-killed")]
    assert registry.versions() == list(range(1, 7))
    assert (registry.root / ".staging-killed").is_dir()


def test_a_number_is_never_given_twice(registry):
    collect_garbage(registry, 1)
    assert publish(registry) == 7


@pytest.mark.parametrize("keep", [0, -1])
def test_the_newest_stays_in_any_case(registry, keep):
    with pytest.raises(UserError, match="--keep: must be at least 1"):
        collect_garbage(registry, keep)
    assert len(registry.versions()) == 6


def test_the_staging_of_a_living_release_is_not_garbage(registry):
    with registry.staging() as staged:
        assert collect_garbage(registry, 6) == []
        assert staged.is_dir()


def test_a_crash_while_removing_lists_only_whole_versions(registry, monkeypatch):
    import evqa.registry.maintenance as module

    def die(_path):
        raise KeyboardInterrupt

    monkeypatch.setattr(module.shutil, "rmtree", die)
    with pytest.raises(KeyboardInterrupt):
        collect_garbage(registry, 3)
    monkeypatch.undo()
    assert all(registry.problems(version) == [] for version in registry.versions())
    assert 1 not in registry.versions()
    assert str(registry.root / "1") in collect_garbage(registry, 3)
    assert folders(registry) == registry.versions()


def test_versions_differ_in_what_they_were_made_of(tmp_path):
    registry = Registry(tmp_path, "evqa")
    first = {
        "config": {"lora": {"r": 8, "alpha": 32.0}, "optimizer": {"lr": 1e-3}},
        "metrics": {"systems": {"tuned": {"bleu": {"value": 10.0}}}},
        "verdict": "SHIP",
    }
    second = json.loads(json.dumps(first))
    second["config"]["lora"]["r"] = 16
    second["metrics"]["systems"]["tuned"]["bleu"]["value"] = 12.5
    publish(registry, "one", **first)
    publish(registry, "two", **second)
    found = differences(registry.manifest(1), registry.manifest(2))
    told = {what: (before, after) for what, before, after in found}
    assert told["config.lora.r"] == (8, 16)
    assert told["metrics.tuned.bleu"] == (10.0, 12.5)
    assert told.keys() == {"config.lora.r", "metrics.tuned.bleu", "file model.safetensors"}
    assert differences(registry.manifest(1), registry.manifest(1)) == []


def test_what_only_one_of_them_has_is_told(tmp_path):
    registry = Registry(tmp_path, "evqa")
    publish(registry, seed=1)
    publish(registry, verdict="SHIP")
    found = differences(registry.manifest(1), registry.manifest(2))
    assert ("seed", 1, None) in found
    assert ("verdict", None, "SHIP") in found
