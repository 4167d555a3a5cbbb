import json
import struct

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from evqa.errors import UserError
from evqa.export.checkpoint import Checkpoint, PlannedTensor, write_checkpoint

DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.int32, torch.int64]


def planned(tensors):
    return [
        PlannedTensor(name=name, shape=tuple(t.shape), dtype=t.dtype, make=lambda t=t: t)
        for name, t in tensors.items()
    ]


shapes = st.lists(st.integers(1, 5), min_size=0, max_size=3).map(tuple)
collections = st.dictionaries(
    st.text("abc.é", min_size=1, max_size=6),
    st.tuples(shapes, st.sampled_from(DTYPES)),
    min_size=1,
)


@settings(max_examples=60)
@given(collections, st.integers(1, 300))
def test_what_is_written_is_what_the_library_reads(tmp_path_factory, wanted, max_shard_bytes):
    folder = tmp_path_factory.mktemp("checkpoint")
    torch.manual_seed(0)
    tensors = {
        name: torch.randint(-9, 9, shape).to(dtype) for name, (shape, dtype) in wanted.items()
    }
    paths = write_checkpoint(folder, planned(tensors), max_shard_bytes)
    read = {name: tensor for path in paths for name, tensor in load_file(path).items()}
    assert read.keys() == tensors.keys()
    assert all(torch.equal(read[name], tensor) for name, tensor in tensors.items())
    checkpoint = Checkpoint(folder)
    assert sorted(checkpoint.names()) == sorted(tensors)
    for name, tensor in tensors.items():
        assert checkpoint.shape(name) == tuple(tensor.shape)
        assert torch.equal(checkpoint.tensor(name), tensor)


def test_a_file_equals_what_the_library_would_write(tmp_path):
    tensors = {"b": torch.arange(6.0).reshape(2, 3), "a": torch.ones(4, dtype=torch.bfloat16)}
    (path,) = write_checkpoint(tmp_path, planned(tensors), 1 << 20)
    save_file(tensors, tmp_path / "library", metadata={"format": "pt"})
    assert path.read_bytes() == (tmp_path / "library").read_bytes()


def test_shards_keep_their_limit_and_are_indexed(tmp_path):
    tensors = {f"t{n}": torch.zeros(10) for n in range(7)}
    paths = write_checkpoint(tmp_path, planned(tensors), 100)
    assert [path.name for path in paths] == [
        f"model-{n:05d}-of-00004.safetensors" for n in range(1, 5)
    ]
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == 280
    for name, file in index["weight_map"].items():
        with safe_open(tmp_path / file, framework="pt") as shard:
            assert name in shard.keys()  # noqa: SIM118  not a dict


def test_only_one_tensor_is_in_memory(tmp_path):
    alive = []

    def make():
        tensor = torch.zeros(4)
        alive.append(tensor.untyped_storage()._weak_ref())
        assert sum(not torch.UntypedStorage._expired(ref) for ref in alive) <= 2
        return tensor

    tensors = [
        PlannedTensor(name=f"t{n}", shape=(4,), dtype=torch.float32, make=make) for n in range(9)
    ]
    write_checkpoint(tmp_path, tensors, 1 << 20)
    assert len(alive) == 9


def test_a_shape_that_was_not_planned_is_a_bug(tmp_path):
    wrong = PlannedTensor(name="x", shape=(3,), dtype=torch.float32, make=lambda: torch.zeros(4))
    with pytest.raises(AssertionError, match="x: planned"):
        write_checkpoint(tmp_path, [wrong], 100)


def test_a_missing_shard_is_named(tmp_path):
    write_checkpoint(tmp_path, planned({f"t{n}": torch.zeros(10) for n in range(3)}), 50)
    (tmp_path / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(UserError, match="model-00002-of-00003.safetensors is missing"):
        Checkpoint(tmp_path)


@pytest.mark.parametrize("content", [b"", b"abc", struct.pack("<Q", 1 << 40), b"\0" * 64])
def test_a_broken_file_is_one_line(tmp_path, content):
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(UserError, match=r"model\.safetensors: not a safetensors file"):
        Checkpoint(tmp_path)
