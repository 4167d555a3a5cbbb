"""A crash at any write point leaves the old content or the new one, never a mixture."""

import multiprocessing
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evqa import files
from evqa.errors import UserError
from evqa.files import (
    atomic_folder,
    folder_lock,
    point_link,
    read_json,
    sha256_bytes,
    sha256_file,
    sha256_json,
    write_json,
    write_text,
)


class Crash(BaseException):
    pass


def crash_at(monkeypatch, point):
    """Let the given call of os.replace or os.fsync, counted together, raise."""
    calls = [0]

    def hook(real):
        def call(*args, **kwargs):
            calls[0] += 1
            if calls[0] == point:
                raise Crash
            return real(*args, **kwargs)

        return call

    monkeypatch.setattr(files.os, "replace", hook(os.replace))
    monkeypatch.setattr(files.os, "fsync", hook(os.fsync))
    return calls


@pytest.mark.parametrize("point", range(1, 5))
def test_crash_while_writing_a_file(tmp_path, monkeypatch, point):
    path = tmp_path / "a.json"
    write_json(path, {"v": "old"})
    with monkeypatch.context() as patch:
        calls = crash_at(patch, point)
        try:
            write_json(path, {"v": "new"})
        except Crash:
            assert calls[0] == point
    assert read_json(path)["v"] in {"old", "new"}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("point", range(1, 7))
def test_crash_while_writing_a_folder(tmp_path, monkeypatch, point):
    folder = tmp_path / "d"
    with atomic_folder(folder) as new:
        (new / "x").write_text("old")
        (new / "y").write_text("old")
    with monkeypatch.context() as patch:
        crash_at(patch, point)
        try:
            with atomic_folder(folder) as new:
                (new / "x").write_text("new")
                (new / "y").write_text("new")
        except Crash:
            pass
    if folder.exists():
        assert len({(folder / name).read_text() for name in "xy"}) == 1


def test_an_exception_inside_leaves_the_old_file(tmp_path):
    path = tmp_path / "a"
    write_text(path, "old")
    with pytest.raises(ZeroDivisionError), files.atomic_writer(path) as stream:
        stream.write("half")
        raise ZeroDivisionError
    assert path.read_text() == "old"


@given(st.binary(max_size=5000))
def test_file_hash_equals_bytes_hash(data):
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "f"
        path.write_bytes(data)
        assert sha256_file(path) == sha256_bytes(data)


@given(st.dictionaries(st.text(), st.integers()))
def test_json_hash_does_not_depend_on_order(values):
    turned = dict(reversed(list(values.items())))
    assert sha256_json(values) == sha256_json(turned)


def test_bad_json_names_file_and_line(tmp_path):
    path = tmp_path / "bad.json"
    path.write_text('{"a": 1,\n oops}')
    with pytest.raises(UserError, match=r"bad\.json: not JSON \(line 2"):
        read_json(path)


def _hold(folder, inside, leave):
    with folder_lock(folder):
        inside.set()
        leave.wait(10)


def test_a_lock_excludes_another_process_and_dies_with_it(tmp_path):
    context = multiprocessing.get_context("spawn")
    inside, leave = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(tmp_path, inside, leave))
    other.start()
    assert inside.wait(20)
    with pytest.raises(BlockingIOError), folder_lock(tmp_path, wait=False):
        pass
    other.kill()
    other.join()
    with folder_lock(tmp_path, wait=False):
        assert list(tmp_path.iterdir()) == []


def test_a_link_moves_in_one_step(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        point_link(tmp_path / "latest", tmp_path / name)
        assert (tmp_path / "latest").resolve() == tmp_path / name
        assert os.readlink(tmp_path / "latest") == name
