import json
import shutil

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from tiny_llama import CHAT_TEMPLATE, build_tiny_adapter
from transformers import AutoModelForCausalLM, AutoTokenizer

from evqa.config.model import ModelConfig, QuantizationConfig
from evqa.errors import OutsideError, UserError
from evqa.export.loading import load_model
from evqa.export.merge import merge_adapter
from evqa.models.load import load_base

MODULE = "model.layers.1.self_attn.q_proj.weight"
ADAPTER_MODULE = "base_model.model.model.layers.1.self_attn.q_proj"


@pytest.fixture(scope="module")
def merged(tiny_base, tiny_adapter, tmp_path_factory):
    folder = tmp_path_factory.mktemp("merged")
    merge_adapter(str(tiny_base), tiny_adapter, folder, "fp32", 4.0)
    return folder


def merge_into(folder, base, adapter, dtype="fp32", nf4=None):
    output = folder / "merged"
    output.mkdir(parents=True)
    merge_adapter(str(base), adapter, output, dtype, 4.0, nf4)
    return output


def weights_of(folder):
    return {k: v for file in folder.glob("*.safetensors") for k, v in load_file(file).items()}


def logits(model):
    with torch.no_grad():
        return model(input_ids=torch.arange(6, 30)[None]).logits.float()


def test_weights_are_w_plus_scaling_times_b_a(tiny_base, tiny_adapter, merged):
    base = load_file(tiny_base / "model.safetensors")[MODULE].double()
    adapter = load_file(tiny_adapter / "adapter_model.safetensors")
    low_a = adapter[f"{ADAPTER_MODULE}.lora_A.weight"].double()
    low_b = adapter[f"{ADAPTER_MODULE}.lora_B.weight"].double()
    expected = base + (8 / 4) * low_b @ low_a
    actual = load_file(merged / "model.safetensors")[MODULE].double()
    assert (actual - base).abs().max() > 0.1
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "lora", [{}, {"use_rslora": True}, {"use_dora": True}], ids=["lora", "rslora", "dora"]
)
def test_merged_float32_equals_the_adapter_on_its_base(tiny_base, tmp_path, lora):
    adapter = build_tiny_adapter(tiny_base, tmp_path / "adapter", **lora)
    output = tmp_path / "merged"
    output.mkdir()
    merge_adapter(str(tiny_base), adapter, output, "fp32", 4.0)
    base = AutoModelForCausalLM.from_pretrained(tiny_base)
    expected = logits(PeftModel.from_pretrained(base, str(adapter)).eval())
    actual = logits(AutoModelForCausalLM.from_pretrained(output))
    assert (expected - logits(AutoModelForCausalLM.from_pretrained(tiny_base))).abs().max() > 1
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize(("dtype", "expected"), [("bf16", "bfloat16"), ("fp16", "float16")])
def test_merged_weights_have_the_dtype_asked_for(
    tiny_base, tiny_adapter, tmp_path, dtype, expected
):
    merge_adapter(str(tiny_base), tiny_adapter, tmp_path, dtype, 4.0)
    dtypes = {str(tensor.dtype) for tensor in load_file(tmp_path / "model.safetensors").values()}
    assert dtypes == {f"torch.{expected}"}
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == expected


def test_the_folder_lists_exactly_what_a_server_needs(merged):
    assert sorted(path.name for path in merged.iterdir()) == [
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]


def test_no_trace_of_the_adapter_stays_in_the_weights(tiny_base, merged):
    assert (
        load_file(merged / "model.safetensors").keys()
        == load_file(tiny_base / "model.safetensors").keys()
    )


def test_tokenizer_and_chat_template_travel(merged):
    tokenizer = AutoTokenizer.from_pretrained(merged)
    assert tokenizer.chat_template == CHAT_TEMPLATE
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "hi"}], tokenize=False, add_generation_prompt=True
    )
    assert text == "<|bos|><|system|>Answer briefly.<|end|><|user|>hi<|end|><|assistant|>"


def test_generation_stops_at_the_end_of_a_turn_too(tiny_base, tiny_adapter, tmp_path):
    base = tmp_path / "base"
    shutil.copytree(tiny_base, base)
    path = base / "generation_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "eos_token_id": 7}))
    output = tmp_path / "merged"
    output.mkdir()
    merge_adapter(str(base), tiny_adapter, output, "fp32", 4.0)
    assert json.loads((output / "generation_config.json").read_text())["eos_token_id"] == [7, 2]


def test_large_models_are_written_in_shards(tiny_base, tiny_adapter, tmp_path):
    merge_adapter(str(tiny_base), tiny_adapter, tmp_path, "fp32", 200 * 1024 / 2**30)
    shards = sorted(tmp_path.glob("model-*.safetensors"))
    assert len(shards) > 1
    assert (tmp_path / "model.safetensors.index.json").is_file()
    AutoModelForCausalLM.from_pretrained(tmp_path)


def test_a_merge_is_not_written_over_another(tiny_base, tiny_adapter, merged):
    with pytest.raises(UserError, match="not empty"):
        merge_adapter(str(tiny_base), tiny_adapter, merged, "fp32", 4.0)


@pytest.mark.parametrize("missing", ["adapter_config.json", "adapter_model.safetensors"])
def test_a_missing_adapter_file_is_named(tiny_base, tiny_adapter, tmp_path, missing):
    broken = tmp_path / "adapter"
    shutil.copytree(tiny_adapter, broken)
    (broken / missing).unlink()
    with pytest.raises(UserError, match=f"no adapter there \\({missing} is missing\\)"):
        merge_into(tmp_path, tiny_base, broken)


@pytest.mark.parametrize("field", ["tokenizer", "template"])
def test_an_adapter_folder_without_tokenizer_is_refused(tiny_base, tiny_adapter, tmp_path, field):
    broken = tmp_path / "adapter"
    shutil.copytree(tiny_adapter, broken)
    (broken / ("chat_template.jinja" if field == "template" else "tokenizer_config.json")).unlink()
    output = tmp_path / "merged"
    output.mkdir()
    with pytest.raises(UserError, match=field):
        merge_adapter(str(tiny_base), broken, output, "fp32", 4.0)


def test_a_base_folder_that_is_gone_is_named(tiny_adapter, tmp_path):
    with pytest.raises(UserError, match=r"gone: the base model's folder is gone"):
        merge_into(tmp_path, tmp_path / "gone", tiny_adapter)


def test_a_hub_model_that_cannot_be_had_is_an_outside_error(tiny_adapter, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(OutsideError, match="nobody/nothing: cannot load the model"):
        merge_into(tmp_path, "nobody/nothing", tiny_adapter)


def edited_adapter(adapter, folder, **changes):
    shutil.copytree(adapter, folder)
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return folder


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"r": 8}, "does not fit the base: .* has rank 4, adapter_config.json says r=8"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights='pissa' changed the base too"),
        ({"rank_pattern": {"q_proj": 2}}, "rank_pattern is not merged"),
        ({"fan_in_fan_out": True}, "fan_in_fan_out is not merged"),
    ],
)
def test_an_adapter_that_one_rule_cannot_merge_is_refused(
    tiny_base, tiny_adapter, tmp_path, changes, message
):
    other = edited_adapter(tiny_adapter, tmp_path / "adapter", **changes)
    with pytest.raises(UserError, match=message):
        merge_into(tmp_path, tiny_base, other)


def edited_weights(adapter, folder, edit):
    shutil.copytree(adapter, folder)
    weights = load_file(folder / "adapter_model.safetensors")
    edit(weights)
    save_file(weights, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    return folder


def rename(weights, old, new):
    weights[new] = weights.pop(old)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            lambda w: rename(w, f"{ADAPTER_MODULE}.lora_A.weight", f"{ADAPTER_MODULE}.lora_A.old"),
            "no complete pair of A and B",
        ),
        (
            lambda w: w.update({f"{ADAPTER_MODULE}.lora_B.weight": torch.zeros(3, 4)}),
            r"does not fit the base: .* is \(64, 64\) there, the adapter's B A is \(3, 64\)",
        ),
        (
            lambda w: w.update({"base_model.model.model.layers.9.mlp.bias": torch.zeros(3)}),
            r"there is no model\.layers\.9\.mlp\.bias",
        ),
        (
            lambda w: w.update({"base_model.model.embed.lora_embedding_A": torch.zeros(3)}),
            "adapts the embedding",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused(tiny_base, tiny_adapter, tmp_path, edit, message):
    broken = edited_weights(tiny_adapter, tmp_path / "adapter", edit)
    with pytest.raises(UserError, match=message):
        merge_into(tmp_path, tiny_base, broken)


def test_a_truncated_adapter_is_one_line(tiny_base, tiny_adapter, tmp_path):
    broken = tmp_path / "adapter"
    shutil.copytree(tiny_adapter, broken)
    (broken / "adapter_model.safetensors").write_bytes(b"abc")
    with pytest.raises(UserError, match="adapter_model.safetensors: not a safetensors file"):
        merge_into(tmp_path, tiny_base, broken)


def test_an_adapter_with_infinite_weights_is_refused(tiny_base, tiny_adapter, tmp_path):
    def edit(weights):
        weights[f"{ADAPTER_MODULE}.lora_B.weight"].fill_(torch.inf)

    broken = edited_weights(tiny_adapter, tmp_path / "adapter", edit)
    with pytest.raises(UserError, match="cannot be merged"):
        merge_into(tmp_path, tiny_base, broken)


@pytest.mark.parametrize("double_quant", [True, False])
def test_trained_weights_are_those_of_the_nf4_base(
    tiny_base, tiny_adapter, tmp_path, double_quant
):
    """Adapter on the real NF4 base, in float32, and the merge say exactly the same."""
    nf4 = QuantizationConfig(double_quant=double_quant)
    base = load_base(tiny_base, ModelConfig(path=str(tiny_base)), nf4, torch.device("cpu"))
    expected = logits(PeftModel.from_pretrained(base, str(tiny_adapter)).eval())
    output = merge_into(tmp_path, tiny_base, tiny_adapter, nf4=nf4)
    torch.testing.assert_close(
        logits(load_model(str(output), "fp32")), expected, atol=1e-3, rtol=0
    )


@pytest.mark.parametrize(
    "lora",
    [
        {},
        {"use_rslora": True},
        {"use_dora": True},
        {"bias": "lora_only"},
        {"target_modules": ["q_proj", "v_proj"]},
    ],
    ids=["lora", "rslora", "dora", "bias", "some"],
)
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_the_streamed_merge_is_pefts_own_to_rounding(tiny_base, tmp_path, lora, dtype):
    adapter = build_tiny_adapter(tiny_base, tmp_path / "adapter", **lora)
    base = AutoModelForCausalLM.from_pretrained(tiny_base)
    whole = PeftModel.from_pretrained(base, str(adapter)).merge_and_unload(safe_merge=True)
    expected = whole.to(
        getattr(torch, {"fp32": "float32", "bf16": "bfloat16"}[dtype])
    ).state_dict()
    actual = load_file(merge_into(tmp_path, tiny_base, adapter, dtype) / "model.safetensors")
    assert actual.keys() == expected.keys()
    for name, tensor in actual.items():
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=1e-5, msg=name)


def test_a_base_in_shards_and_one_file_merge_the_same(tiny_base, tiny_adapter, tmp_path):
    sharded = tmp_path / "sharded"
    model = AutoModelForCausalLM.from_pretrained(tiny_base)
    model.save_pretrained(sharded, max_shard_size=100_000)
    assert len(list(sharded.glob("*.safetensors"))) > 1
    one = merge_into(tmp_path / "1", tiny_base, tiny_adapter)
    other = merge_into(tmp_path / "2", sharded, tiny_adapter)
    assert weights_of(one).keys() == weights_of(other).keys()
    for name, tensor in weights_of(one).items():
        assert torch.equal(tensor, weights_of(other)[name])


def test_merging_is_deterministic_to_the_byte(tiny_base, tiny_adapter, tmp_path):
    one = merge_into(tmp_path / "1", tiny_base, tiny_adapter, "bf16")
    other = merge_into(tmp_path / "2", tiny_base, tiny_adapter, "bf16")
    for file in one.iterdir():
        assert file.read_bytes() == (other / file.name).read_bytes()


def test_a_merged_model_is_not_merged_into_again(tiny_base, tiny_adapter, tmp_path, merged):
    """The merged folder is a plain model: only the hash of the base tells (see release)."""
    assert not (merged / "adapter_config.json").exists()
    with pytest.raises(UserError, match="not empty"):
        merge_adapter(str(merged), tiny_adapter, merged, "fp32", 4.0)


def test_a_base_without_one_tensor_is_incomplete(tiny_base, tiny_adapter, tmp_path):
    broken = tmp_path / "base"
    shutil.copytree(tiny_base, broken)
    weights = load_file(broken / "model.safetensors")
    del weights[MODULE]
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=f"the weights lack {MODULE}"):
        merge_into(tmp_path, broken, tiny_adapter)


def test_a_base_of_bin_files_is_told_what_to_do(tiny_base, tiny_adapter, tmp_path):
    broken = tmp_path / "base"
    shutil.copytree(tiny_base, broken)
    (broken / "model.safetensors").rename(broken / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"no model\.safetensors there; load the model with"):
        merge_into(tmp_path, broken, tiny_adapter)


def test_a_config_that_is_no_language_model_is_one_line(tiny_base, tiny_adapter, tmp_path):
    broken = tmp_path / "base"
    shutil.copytree(tiny_base, broken)
    (broken / "config.json").write_text('{"model_type": "nonsense"}')
    with pytest.raises(UserError, match=r"base: .*nonsense"):
        merge_into(tmp_path, broken, tiny_adapter)


def test_biases_trained_beside_the_matrices_are_taken_over(tmp_path):
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=300,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        tie_word_embeddings=True,
    )
    base = tmp_path / "base"
    Qwen2ForCausalLM(config).save_pretrained(base)
    adapter = build_tiny_adapter(base, tmp_path / "adapter", bias="lora_only")
    name = "model.layers.0.self_attn.q_proj.bias"

    def edit(weights):
        (key,) = [key for key in weights if key.endswith("q_proj.base_layer.bias")]
        weights[key].fill_(0.5)

    trained = edited_weights(adapter, tmp_path / "trained", edit)
    merged = merge_into(tmp_path, base, trained)
    assert load_file(merged / "model.safetensors")[name].tolist() == [0.5] * 64
    assert "lm_head.weight" not in weights_of(merged)  # tied, as in the base
    AutoModelForCausalLM.from_pretrained(merged)
