"""A quantised base from disk is, to the bit, the one that quantising makes."""

import pytest
import torch

from evqa.config.model import QuantizationConfig
from evqa.models.base import load
from evqa.models.cache import QuantizedCache, weights_gib


def tensors(model):
    found = {}
    for name, parameter in model.named_parameters():
        found[name] = parameter.data
        state = getattr(parameter, "quant_state", None)
        if state is not None:
            found[f"{name}.absmax"] = state.absmax
            found[f"{name}.state2"] = state.state2.absmax
            found[f"{name}.offset"] = state.offset
    return found


@pytest.mark.parametrize("double", [True])
def test_the_cached_base_is_the_same(tiny_folder, tiny_config, tmp_path, double, monkeypatch):
    quantization = QuantizationConfig(double_quant=double, cache_min_gib=0.0)
    cache = QuantizedCache(tmp_path, "f" * 64)

    def loaded(given):
        return load(tiny_folder, tiny_config.model, quantization, "cpu", None, given).model

    fresh, first, second = loaded(None), loaded(cache), loaded(cache)
    assert [entry.name for entry in tmp_path.iterdir()] == [
        cache.path(quantization, "torch.float32").name
    ]
    for model in (first, second):
        one, two = tensors(fresh), tensors(model)
        assert one.keys() == two.keys()
        assert all(torch.equal(one[name], two[name]) for name in one)
    ids = torch.tensor([[1, 2, 3]])
    with torch.no_grad():
        assert torch.equal(fresh(input_ids=ids).logits, second(input_ids=ids).logits)


def test_small_bases_are_not_kept(tiny_folder, tiny_config, tmp_path):
    cache = QuantizedCache(tmp_path, "0" * 64)
    cache.load(tiny_folder, tiny_config.model, QuantizationConfig(), torch.device("cpu"))
    assert not list(tmp_path.iterdir())
    assert 0 < weights_gib(tiny_folder) < 0.01


def test_what_decides_the_bytes_decides_the_name(tmp_path):
    plain = QuantizationConfig()
    names = {
        QuantizedCache(tmp_path, "a").path(plain, "torch.float32"),
        QuantizedCache(tmp_path, "b").path(plain, "torch.float32"),
        QuantizedCache(tmp_path, "a", is_sharded=True).path(plain, "torch.float32"),
        QuantizedCache(tmp_path, "a").path(plain, "torch.bfloat16"),
        QuantizedCache(tmp_path, "a").path(
            QuantizationConfig(double_quant=False), "torch.float32"
        ),
    }
    assert len(names) == 5
