import json
import multiprocessing
import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evqa.errors import GateError, UserError
from evqa.registry import Aliases, Registry, parse_reference
from evqa.registry.store import registered_names

PROOF = {"parity": {"kl_nats": 0.0}, "verdict": "SHIP"}


def publish(registry, content="weights", **lineage):
    with registry.staging() as staged:
        (staged / "model.safetensors").write_text(content)
        (staged / "extra").mkdir()
        (staged / "extra" / "notes.txt").write_text("nested")
        return registry.publish(staged, lineage or PROOF)


@pytest.fixture
def registry(tmp_path):
    return Registry(tmp_path, "evqa")


def test_versions_count_up_and_the_newest_is_the_candidate(registry):
    assert [publish(registry), publish(registry)] == [1, 2]
    assert registry.versions() == [1, 2]
    assert registry.aliases() == Aliases(candidate=2)


def test_a_version_holds_its_files_and_manifest_and_nothing_else(registry):
    folder = registry.folder(publish(registry, run="runs/a"))
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    assert names == ["extra/notes.txt", "manifest.json", "model.safetensors"]
    assert sorted(registry.manifest(1).files) == ["extra/notes.txt", "model.safetensors"]
    assert registry.manifest(1).lineage == {"run": "runs/a"}
    assert registry.manifest(1).files["model.safetensors"]["size_bytes"] == len("weights")


def test_a_version_can_be_read_by_other_users(registry):
    with registry.staging() as staged:
        (staged / "model.safetensors").touch(0o600)
        registry.publish(staged, {})
    assert (registry.folder(1) / "model.safetensors").stat().st_mode & 0o777 == 0o644


def test_nothing_hidden_is_left_behind(registry):
    publish(registry)

    def die_half_way():
        with registry.staging() as staged:
            (staged / "half").write_text("written")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        die_half_way()
    assert sorted(p.name for p in registry.root.iterdir()) == ["1", "aliases.json", "index.json"]


def test_an_untouched_version_verifies(registry):
    version = publish(registry)
    assert registry.problems(version) == []
    registry.verify(version)


FILES = ["model.safetensors", "extra/notes.txt", "manifest.json"]


@given(st.sampled_from(FILES), st.data())
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_one_flipped_byte_is_found_and_named(tmp_path_factory, name, data):
    registry = Registry(tmp_path_factory.mktemp("registry"), "evqa")
    publish(registry)
    path = registry.folder(1) / name
    content = bytearray(path.read_bytes())
    offset = data.draw(st.integers(0, len(content) - 1))
    content[offset] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    with pytest.raises(GateError, match=rf"evqa/1 is damaged: .*{name}: content has changed"):
        registry.verify(1)


def test_missing_and_extra_files_are_named(registry):
    publish(registry)
    (registry.folder(1) / "model.safetensors").unlink()
    (registry.folder(1) / "stranger.bin").write_text("x")
    assert registry.problems(1) == [
        "model.safetensors: missing",
        "stranger.bin: not in the manifest",
    ]
    (registry.folder(1) / "manifest.json").unlink()
    assert registry.problems(1) == ["manifest.json: missing"]


def test_a_rewritten_manifest_is_found_by_the_index(registry):
    publish(registry)
    path = registry.folder(1) / "manifest.json"
    forged = json.loads(path.read_text())
    forged["lineage"] = {"verdict": "SHIP"}
    path.write_text(json.dumps(forged))
    assert registry.problems(1) == [
        "manifest.json: content has changed (its hash is not the one in index.json)"
    ]


def test_promote_and_rollback_move_the_aliases(registry):
    for _ in range(3):
        publish(registry)
    assert registry.promote(1) == Aliases(champion=1, candidate=3)
    assert registry.promote(3) == Aliases(champion=3, previous=1)
    assert registry.promote(3) == Aliases(champion=3, previous=1)
    assert registry.rollback() == Aliases(champion=1, previous=3)
    assert registry.rollback() == Aliases(champion=3, previous=1)
    assert registry.aliases() == Aliases(champion=3, previous=1)


def test_a_damaged_version_is_not_promoted(registry):
    publish(registry)
    (registry.folder(1) / "model.safetensors").write_text("other")
    with pytest.raises(GateError):
        registry.promote(1)
    assert registry.aliases() == Aliases(candidate=1)


def test_rollback_refuses_a_damaged_predecessor(registry):
    for _ in range(2):
        registry.promote(publish(registry))
    (registry.folder(1) / "model.safetensors").write_text("other")
    with pytest.raises(GateError):
        registry.rollback()
    assert registry.aliases().champion == 2


def test_rollback_without_a_predecessor_is_one_line(registry):
    registry.promote(publish(registry))
    with pytest.raises(UserError, match="nothing to roll back to"):
        registry.rollback()


def test_resolve_takes_numbers_and_aliases(registry):
    publish(registry)
    registry.promote(publish(registry))
    assert [registry.resolve(word) for word in ("1", "2", "champion")] == [1, 2, 2]
    as_printed = (f"{registry.name}/{word}" for word in ("1", "champion"))
    assert [registry.resolve(word) for word in as_printed] == [1, 2]
    for word, message in {
        "3": r"no such version \(registered: 1, 2\)",
        "previous": "no version has this alias",
        "newest": "expected a version's number or one of champion, candidate, previous",
    }.items():
        with pytest.raises(UserError, match=message):
            registry.resolve(word)


def test_an_empty_registry_says_what_to_run(registry):
    assert registry.versions() == []
    assert registry.aliases() == Aliases()
    with pytest.raises(UserError, match=r"run `python -m evqa.release`"):
        registry.folder(1)


@pytest.mark.parametrize("name", ["", "..", "a/b", "Upper", "-x", ".hidden", "x" * 65, "a b"])
def test_names_that_cannot_be_folders_are_refused(tmp_path, name):
    with pytest.raises(UserError, match=r"registry\.name"):
        Registry(tmp_path, name)


def test_registered_names_lists_only_names_with_versions(tmp_path):
    publish(Registry(tmp_path, "b"))
    publish(Registry(tmp_path, "a"))
    (tmp_path / "empty").mkdir()
    assert registered_names(tmp_path) == ["a", "b"]


@pytest.mark.parametrize("reference", ["evqa", "evqa/", "/1", "a/b/c", ""])
def test_a_reference_needs_name_and_version(reference):
    with pytest.raises(UserError, match="expected NAME/VERSION"):
        parse_reference(reference)


def test_a_reference_is_split():
    assert parse_reference("evqa/champion") == ("evqa", "champion")


LACKING = [
    ({"run": "x"}, "its parity with the trained adapter was never measured"),
    ({"parity": {"kl_nats": 0.0}}, "it carries no verdict"),
    ({"parity": {"kl_nats": 0.0}, "verdict": "NO_SHIP"}, "its verdict is NO_SHIP"),
    ({"parity": {"kl_nats": 0.0}, "verdict": "NOT_ENOUGH_DATA"}, "its verdict is NOT_ENOUGH"),
    ({"verdict": "SHIP"}, "parity"),
]


@pytest.mark.parametrize(("lineage", "reason"), LACKING)
def test_a_version_without_proof_is_not_promoted(registry, lineage, reason):
    publish(registry, **lineage)
    with pytest.raises(GateError, match=rf"evqa/1 is not promoted: .*{reason}.*--force --reason"):
        registry.promote(1)
    assert registry.aliases() == Aliases(candidate=1)
    assert registry.history() == []


@pytest.mark.parametrize(("lineage", "_reason"), LACKING)
def test_force_promotes_it_and_the_reason_is_kept(registry, lineage, _reason):
    publish(registry, **lineage)
    assert registry.promote(1, force_reason="the demo is today").champion == 1
    (entry,) = registry.history()
    assert entry["action"] == "promote"
    assert entry["reason"] == "the demo is today"
    assert entry["lacks"] in ("no parity", *(f"verdict {v}" for v in ("none", "NO_SHIP"))) or (
        entry["lacks"] == "verdict NOT_ENOUGH_DATA"
    )


def test_force_does_not_promote_a_damaged_version(registry):
    publish(registry)
    (registry.folder(1) / "model.safetensors").write_text("other")
    with pytest.raises(GateError, match="damaged"):
        registry.promote(1, force_reason="never mind")


def test_the_history_tells_every_change_of_the_champion(registry):
    publish(registry)
    publish(registry)
    registry.promote(1)
    registry.promote(2)
    registry.promote(2)  # no change
    registry.rollback()
    told = [(e["action"], e["version"], e["champion_before"]) for e in registry.history()]
    assert told == [("promote", 1, None), ("promote", 2, 1), ("rollback", 1, 2)]
    assert all("reason" not in entry for entry in registry.history())


def test_the_next_release_removes_what_a_killed_one_left(registry):
    left = registry.root / ".staging-killed"
    left.mkdir(parents=True)
    (left / "model.safetensors").write_text("half")
    (registry.root / ".index.json.123.tmp").write_text("half")
    publish(registry)
    assert not [path for path in registry.root.iterdir() if path.name.startswith(".")]


def test_the_staging_of_a_living_release_is_left_alone(registry):
    with registry.staging() as one, registry.staging() as other:
        assert one.is_dir()
        assert other.is_dir()


def crash_points(registry, monkeypatch, call):
    """Publish, dying at every call of os.replace or os.fsync in turn; yield after each death."""
    import evqa.files

    real = getattr(os, call)
    for point in range(1, 100):
        count = 0

        def crashing(*args, point=point, **kwargs):
            nonlocal count
            count += 1
            if count == point:
                raise KeyboardInterrupt
            return real(*args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(evqa.files.os, call, crashing)
            try:
                publish(registry, content=f"weights {point}")
            except KeyboardInterrupt:
                yield point
                continue
        return
    pytest.fail("publishing never got through")


@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_a_crash_at_any_write_point_leaves_only_whole_versions(registry, monkeypatch, call):
    publish(registry)
    num_crashes = 0
    for _ in crash_points(registry, monkeypatch, call):
        num_crashes += 1
        for version in registry.versions():
            assert registry.problems(version) == []
        assert registry.aliases().candidate in registry.versions()
    assert num_crashes >= 4
    last = registry.versions()[-1]
    assert registry.aliases() == Aliases(candidate=last)
    assert registry.problems(last) == []
    assert registry.versions() == list(range(1, last + 1))


def _publish_many(folder, count):
    registry = Registry(folder, "evqa")
    for _ in range(count):
        registry.promote(publish(registry, content=f"{os.getpid()}"))


def test_concurrent_publishers_get_versions_of_their_own(tmp_path):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_publish_many, args=(tmp_path, 3)) for _ in range(8)]
    for worker in workers:
        worker.start()
    registry = Registry(tmp_path, "evqa")
    while any(worker.is_alive() for worker in workers):
        aliases = registry.aliases()
        assert {aliases.champion, aliases.candidate, aliases.previous} <= {
            *registry.versions(),
            None,
        }
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert registry.versions() == list(range(1, 25))
    assert all(registry.problems(version) == [] for version in registry.versions())


def _publish_forever(folder, started):
    registry = Registry(Path(folder), "evqa")
    started.set()
    while True:
        publish(registry)


def test_a_killed_publisher_neither_blocks_nor_harms_the_next(tmp_path):
    context = multiprocessing.get_context("fork")
    for _ in range(5):
        started = context.Event()
        worker = context.Process(target=_publish_forever, args=(tmp_path, started))
        worker.start()
        started.wait()
        worker.join(0.05)
        os.kill(worker.pid, signal.SIGKILL)
        worker.join()
    registry = Registry(tmp_path, "evqa")
    version = publish(registry)
    assert version == registry.versions()[-1] == registry.aliases().candidate
    assert all(registry.problems(each) == [] for each in registry.versions())
