"""PiSSA and LoftQ: the start is what the papers say, what is saved fits the original base."""

import pytest
import torch

from evqa.config.model import LoraConfig, LoraInit, QuantizationConfig, QuantizationKind
from evqa.errors import UserError
from evqa.models.base import load
from evqa.models.initialise import (
    Weights,
    _stored,
    adapter_layers,
    difference_to_start,
    initialise,
    largest_components,
)
from evqa.models.load import attach_adapter


@pytest.fixture
def made(tiny_folder, tiny_config):
    def make(init, kind=QuantizationKind.nf4, **lora):
        base = load(tiny_folder, tiny_config.model, QuantizationConfig(kind=kind), "cpu")
        settings = {"r": 8, "alpha": 16.0, "dropout": 0.0, **lora}
        config = LoraConfig(init=LoraInit(init), **settings)
        torch.manual_seed(0)
        model = attach_adapter(base.model, config)
        return model, config, initialise(model, config, tiny_folder)

    return make


def product(layer):
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    return (layer.scaling["default"] * b @ a).detach()


def test_default_needs_no_start(made):
    assert made("default")[2] == {}


def test_largest_components_are_the_best_low_rank_approximation():
    torch.manual_seed(0)
    matrix = torch.randn(30, 8) @ torch.randn(8, 20)
    a, b = largest_components(matrix, 5, 2.0)
    u, s, v = torch.linalg.svd(matrix, full_matrices=False)
    best = u[:, :5] @ torch.diag(s[:5]) @ v[:5]
    assert (2.0 * b @ a - matrix).norm() < 1.01 * (best - matrix).norm()
    a, b = largest_components(matrix, 25, 1.0)
    assert (a.shape, b.shape) == ((25, 20), (30, 25))
    torch.testing.assert_close(b @ a, matrix, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("kind", list(QuantizationKind))
def test_pissa_starts_as_the_base_itself(made, tiny_folder, kind):
    model, _config, start = made("pissa", kind)
    weights = Weights(tiny_folder)
    for name, layer in adapter_layers(model):
        full = weights.read(f"{name}.weight")
        now = _stored(layer.get_base_layer()) + product(layer)
        assert (now - full).norm() < (0.1 if kind is QuantizationKind.nf4 else 1e-5) * full.norm()
        assert product(layer).norm() > 0.3 * full.norm(), (
            "the largest components are in the adapter"
        )
    assert len(start) == 14


def test_loftq_mends_the_quantisation_error(made, tiny_folder):
    model, _config, _start = made("loftq")
    weights = Weights(tiny_folder)
    for name, layer in adapter_layers(model):
        full, stored = weights.read(f"{name}.weight"), _stored(layer.get_base_layer())
        assert (stored + product(layer) - full).norm() < 0.95 * (stored - full).norm()


@pytest.mark.parametrize("rslora", [False, True])
@pytest.mark.parametrize("init", ["pissa", "loftq"])
def test_what_is_saved_is_the_difference_as_a_plain_lora(made, init, rslora, tmp_path):
    from peft import PeftModel

    from evqa.training.fit import save_adapter

    model, config, start = made(init, use_rslora=rslora)
    for _name, parameter in model.named_parameters():
        if parameter.requires_grad:
            parameter.data += 0.01 * torch.randn_like(parameter)
    wanted = {}
    for name, layer in adapter_layers(model):
        a0, b0 = start[name]
        wanted[name] = product(layer) - layer.scaling["default"] * b0 @ a0

    class Tokenizer:
        def save_pretrained(self, folder):
            pass

    save_adapter(model, Tokenizer(), tmp_path / "adapter", start)
    plain = PeftModel.from_pretrained(made("default")[0].unload(), tmp_path / "adapter")
    assert plain.peft_config["default"].r == 2 * config.r
    for name, layer in adapter_layers(plain):
        torch.testing.assert_close(product(layer), wanted[name], atol=1e-5, rtol=1e-4)


def test_a_start_that_did_not_move_is_no_adapter(made):
    model, _config, start = made("pissa")
    from peft import get_peft_model_state_dict

    state = {k: v.detach() for k, v in get_peft_model_state_dict(model).items()}
    tensors, config = difference_to_start(state, model.peft_config["default"], start)
    assert config.lora_alpha == 32.0
    for name, value in tensors.items():
        if ".lora_B." in name:
            other = tensors[name.replace("lora_B", "lora_A")]
            assert (value @ other).abs().max() < 1e-6


def test_weights_that_are_not_there_are_one_line(tmp_path):
    with pytest.raises(UserError, match="has no x.weight in safetensors; use lora.init=default"):
        Weights(tmp_path).read("x.weight")
