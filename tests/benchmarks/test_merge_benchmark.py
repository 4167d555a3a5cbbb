"""The benchmark's own logic on a model of a thousandth of the size."""

import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "merge.py"


@pytest.fixture(scope="module")
def merge():
    spec = importlib.util.spec_from_file_location("merge_benchmark", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["merge_benchmark"] = module
    spec.loader.exec_module(module)
    return module


def test_the_peak_is_this_process_own(merge):
    assert 0.01 < merge.peak_kib() / 2**20 < 24


def test_every_step_writes_a_model_of_the_presets_shape(merge, tmp_path, monkeypatch):
    from safetensors import safe_open

    from evqa.config import load_config

    config = load_config("train", ["model=smollm2_135m"])
    architecture = config.model.architecture
    architecture.num_layers = 1
    architecture.vocab_size = 256
    monkeypatch.setattr(merge, "load_config", lambda *_: config)
    merge.build("smollm2_135m", tmp_path)
    merge.tokenizer_beside(tmp_path / "adapter")
    for name in merge.STEPS[1:]:
        assert merge.step(name, tmp_path)["peak_gib"] > 0
    with safe_open(tmp_path / "original" / "model.safetensors", framework="pt") as file:
        assert file.get_slice("model.layers.0.mlp.up_proj.weight").get_shape() == [1536, 576]
    with safe_open(tmp_path / "w4a16" / "model.safetensors", framework="pt") as file:
        assert "model.layers.0.mlp.up_proj.weight_packed" in set(file.keys())
