"""The planner: exact weights, terms that add up, changes that it has checked itself."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evqa.architectures import Architecture
from evqa.config import load_config
from evqa.config.register import options
from evqa.errors import GateError
from evqa.memory.budget import fitting_changes, plain_recipe, require_fit
from evqa.memory.planner import GIB, nf4_bytes, plan_json, plan_training

ROOT = Path(__file__).parents[2]
PLAIN = ["trainer=gpu", "trainer.micro_batch_size=1"]


def plan_of(*words):
    config = load_config("train", [*PLAIN, *words])
    shape = Architecture.from_config(config.model.architecture)
    return config, shape, plan_training(config, shape)


@pytest.mark.parametrize(("double", "bits"), [(True, 4.127), (False, 4.5)])
def test_nf4_bits_a_weight(double, bits):
    """4.126953 bits a weight were measured on real tensors (bitsandbytes 0.50.2)."""
    assert nf4_bytes(64 * 256 * 100, double) * 8 / (64 * 256 * 100) == pytest.approx(
        bits, abs=1e-3
    )


def test_weights_equal_the_real_tensors(tiny_base, tiny_config):
    from bitsandbytes.nn import Linear4bit

    shape = Architecture.from_json(tiny_base.model.config.to_dict())
    linears = [m for m in tiny_base.model.modules() if isinstance(m, Linear4bit)]
    packed = sum(m.weight.numel() * m.weight.element_size() for m in linears)
    scales = sum(
        m.weight.quant_state.absmax.numel() + m.weight.quant_state.state2.absmax.numel() * 4
        for m in linears
    )
    made = plan_training(tiny_config, shape).static
    # Small matrices fill their last block of scales only in part.
    assert packed <= made["linear_weights"] <= packed + scales + 4 * len(linears)
    embedding = tiny_base.model.get_input_embeddings().weight
    assert made["embedding"] == embedding.numel() * embedding.element_size()


def test_lora_bytes_equal_the_real_tensors(tiny_base, tiny_config):
    from evqa.models.load import attach_adapter

    model = attach_adapter(tiny_base.model, tiny_config.lora)
    real = sum(p.numel() * 4 for p in model.parameters() if p.requires_grad)
    shape = Architecture.from_json(tiny_base.model.config.to_dict())
    assert plan_training(tiny_config, shape).static["lora_weights"] == real


@pytest.mark.parametrize("name", options()["model"])
def test_shapes_of_every_model_option_equal_transformers_on_the_meta_device(name):
    from transformers import AutoConfig, AutoModelForCausalLM

    _config, shape, _plan = plan_of(f"model={name}")
    own = AutoConfig.for_model(
        str(shape.family),
        vocab_size=shape.vocab_size,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.num_layers,
        num_attention_heads=shape.num_attention_heads,
        num_key_value_heads=shape.num_key_value_heads,
        head_dim=shape.head_dim,
        tie_word_embeddings=shape.tie_word_embeddings,
    )
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(own)
    assert sum(p.numel() for p in model.parameters()) == shape.num_parameters


@pytest.mark.parametrize(
    ("name", "linears_gib"),
    [("llama3_1_8b", 3.35), ("mistral_7b", 3.35), ("qwen2_5_7b", 3.14), ("llama3_2_3b", 1.35)],
)
def test_anchors(name, linears_gib):
    """Weights of real models in NF4 with double quantisation (docs/decisions, measured)."""
    _config, _shape, made = plan_of(f"model={name}")
    assert made.static["linear_weights"] / GIB == pytest.approx(linears_gib, abs=0.01)


@settings(deadline=None, max_examples=15)
@given(
    st.sampled_from(options()["model"]),
    st.sampled_from(options()["lora"]),
    st.booleans(),
    st.sampled_from([1, 2, 8]),
)
def test_terms_add_up_and_more_takes_more(model, lora, checkpointing, size):
    words = [f"model={model}", f"lora={lora}", f"memory.gradient_checkpointing={checkpointing}"]
    words += [f"trainer.micro_batch_size={size}", "trainer.effective_batch_size=16"]
    config, shape, made = plan_of(*words)
    values = plan_json(made, plain_recipe(config, shape), [], {})
    assert sum(values["terms_gib"].values()) == pytest.approx(values["peak_gib"])
    assert values["phases"]["validation_gib"] <= values["phases"]["training_gib"] + 1e-9
    config.trainer.micro_batch_size *= 2
    assert plan_training(config, shape).peak_gib > made.peak_gib


def test_what_does_not_fit_is_refused_with_a_change_that_does():
    config, shape, made = plan_of("model=llama3_2_3b", "memory=6gib", "trainer.micro_batch_size=8")
    assert not made.fits
    changes = fitting_changes(config, shape)
    with pytest.raises(GateError, match=r"needs .* GiB, but memory.budget_gib=6; try "):
        require_fit(made, changes)
    words = ["model=llama3_2_3b", "memory=6gib", "trainer.micro_batch_size=8"]
    again = plan_of(*words, *changes[0]["override"].split())[2]
    assert again.fits
    assert again.peak_gib == pytest.approx(changes[0]["peak_gib"])


def test_without_a_budget_everything_fits():
    _config, _shape, made = plan_of("model=llama3_1_8b", "memory=none")
    assert made.fits
    require_fit(made, [])


def run_plan(*words):
    return subprocess.run(
        [sys.executable, "-m", "evqa.plan", *words],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_the_card_and_its_json():
    card = run_plan("model=llama3_2_3b", "memory=6gib", *PLAIN)
    assert card.returncode == 0, card.stderr
    assert "fits (budget 6 GiB)" in card.stdout
    done = run_plan("model=llama3_1_8b", "memory=6gib", "output=json", *PLAIN)
    assert done.returncode == 4
    values = json.loads(done.stdout)
    assert values["fits"] is False
    assert set(values) == {
        "fits", "usable_gib", "peak_gib", "terms_gib", "phases", "changes", "plain", "measured"
    }  # fmt: skip
    assert done.stderr.startswith("error: does not fit")


def test_the_plan_needs_no_torch():
    probe = (
        "import sys, runpy; sys.argv = ['plan', 'model=llama3_1_8b']\n"
        "try: runpy.run_module('evqa.plan', run_name='__main__')\n"
        "except SystemExit as end: code = end.code\n"
        "sys.exit(code or 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], cwd=ROOT, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
