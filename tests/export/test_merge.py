import json
import shutil

import pytest
import torch
from safetensors.torch import load_file
from tiny_llama import CHAT_TEMPLATE, build_tiny_adapter
from transformers import AutoModelForCausalLM, AutoTokenizer

from evqa.errors import OutsideError, UserError
from evqa.export.merge import load_with_adapter, merge_adapter

MODULE = "model.layers.1.self_attn.q_proj.weight"
ADAPTER_MODULE = "base_model.model.model.layers.1.self_attn.q_proj"


@pytest.fixture(scope="module")
def merged(tiny_base, tiny_adapter, tmp_path_factory):
    folder = tmp_path_factory.mktemp("merged")
    merge_adapter(str(tiny_base), tiny_adapter, folder, "fp32", 4.0)
    return folder


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
    expected = logits(load_with_adapter(str(tiny_base), adapter, "fp32"))
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
        load_with_adapter(str(tiny_base), broken, "fp32")


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
        load_with_adapter(str(tmp_path / "gone"), tiny_adapter, "fp32")


def test_a_hub_model_that_cannot_be_had_is_an_outside_error(tiny_adapter, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(OutsideError, match="nobody/nothing: cannot load the model"):
        load_with_adapter("nobody/nothing", tiny_adapter, "fp32")


def test_an_adapter_for_another_shape_is_refused(tiny_base, tiny_adapter, tmp_path):
    other = tmp_path / "adapter"
    shutil.copytree(tiny_adapter, other)
    path = other / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "r": 8}))
    with pytest.raises(UserError, match="does not fit the base"):
        load_with_adapter(str(tiny_base), other, "fp32")


def test_an_adapter_with_infinite_weights_is_refused(tiny_base, tiny_adapter, tmp_path):
    from safetensors.torch import save_file

    broken = tmp_path / "adapter"
    shutil.copytree(tiny_adapter, broken)
    weights = load_file(broken / "adapter_model.safetensors")
    weights[f"{ADAPTER_MODULE}.lora_B.weight"].fill_(torch.inf)
    save_file(weights, broken / "adapter_model.safetensors", metadata={"format": "pt"})
    output = tmp_path / "merged"
    output.mkdir()
    with pytest.raises(UserError, match="cannot be merged"):
        merge_adapter(str(tiny_base), broken, output, "fp32", 4.0)
