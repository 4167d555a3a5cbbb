"""Loading real model folders of several families in NF4, and every way they can be wrong."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from bitsandbytes.nn import Linear4bit

from evqa.architectures import Architecture, target_modules
from evqa.config.model import Dtype, LoraConfig, LoraTargets, QuantizationConfig, QuantizationKind
from evqa.errors import DiskFullError, OutsideError, UserError
from evqa.models.base import load
from evqa.models.load import (
    attach_adapter,
    load_adapter,
    pick_device,
    pick_dtype,
)
from evqa.models.locate import check_folder, hub_error, locate

FAMILIES = ["llama", "mistral", "qwen2", "qwen3", "gemma"]


def build_family(family, folder, tokenizer_folder):
    """A random model of a family with the tiny tokenizer beside it."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(
        family,
        vocab_size=400,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=256,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=None,
    )
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(tokenizer_folder / name, folder / name)
    return folder


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_loads_in_nf4_with_adapters_on_its_linear_layers(
    family, tiny_config, tiny_folder, tmp_path
):
    folder = build_family(family, tmp_path / family, tiny_folder)
    shape = Architecture.from_folder(check_folder(folder))
    loaded = load(folder, tiny_config.model, tiny_config.quantization, "cpu")
    linears = [m for m in loaded.model.modules() if isinstance(m, Linear4bit)]
    assert len(linears) == 7 * 2
    assert all(not m.support_avx512bf16_for_cpu for m in linears)
    assert sum(m.weight.numel() for m in linears) * 2 == shape.num_linear_parameters
    assert all(m.weight.quant_state.nested for m in linears)
    assert not any(p.requires_grad for p in loaded.model.parameters())
    model = attach_adapter(loaded.model, LoraConfig(r=4))
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    modules = target_modules(LoraTargets.all_linear, [])
    assert trainable == shape.num_lora_parameters(4, modules)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_architecture_counts_every_weight(family, tiny_folder, tmp_path):
    from transformers import AutoModelForCausalLM

    folder = build_family(family, tmp_path / family, tiny_folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    shape = Architecture.from_folder(folder)
    assert shape.num_parameters == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("targets", "count"), [("all_linear", 7), ("attention", 4), ("mlp", 3), ("qv", 2)]
)
def test_targets(targets, count, tiny_base):
    model = attach_adapter(tiny_base.model, LoraConfig(r=2, targets=LoraTargets(targets)))
    names = {n.split(".")[-4] for n, p in model.named_parameters() if p.requires_grad}
    assert len(names) == count


def test_an_unknown_target_module_is_refused():
    with pytest.raises(UserError, match="no module 'lm_head'; allowed: q_proj"):
        target_modules(LoraTargets.all_linear, ["lm_head"])


@pytest.mark.parametrize("option", ["use_rslora", "use_dora"])
def test_variants_attach(option, tiny_base):
    model = attach_adapter(tiny_base.model, LoraConfig(r=4, alpha=8, **{option: True}))
    ids = torch.tensor([[5, 6, 7]])
    assert torch.isfinite(model(input_ids=ids).logits).all()


def test_quantisation_can_be_off(tiny_config, tiny_folder):
    none = QuantizationConfig(kind=QuantizationKind.none)
    loaded = load(tiny_folder, tiny_config.model, none, "cpu")
    assert not any(isinstance(m, Linear4bit) for m in loaded.model.modules())


def break_folder(folder: Path, how: str) -> None:
    weights = folder / "model.safetensors"
    if how == "no config":
        (folder / "config.json").unlink()
    elif how == "no weights":
        weights.unlink()
    elif how == "no tokenizer":
        (folder / "tokenizer.json").unlink()
    elif how == "truncated weights":
        weights.write_bytes(weights.read_bytes()[:500])
    elif how == "unknown family":
        values = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(values | {"model_type": "nosuch"}))
    elif how == "config not json":
        (folder / "config.json").write_text("{oops")
    elif how == "large tokenizer":
        values = json.loads((folder / "tokenizer.json").read_text())
        values["added_tokens"].append(
            {**values["added_tokens"][0], "id": 5000, "content": "<|far|>", "special": True}
        )
        (folder / "tokenizer.json").write_text(json.dumps(values))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("no config", "config.json is missing"),
        ("no weights", "no weights there"),
        ("no tokenizer", "no tokenizer there"),
        ("truncated weights", "cannot be loaded"),
        ("unknown family", "nosuch"),
        ("config not json", "cannot be loaded|not JSON"),
        ("large tokenizer", "do not belong together"),
    ],
)
def test_a_broken_folder_is_one_line(how, message, tiny_config, tiny_folder, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(tiny_folder, folder)
    break_folder(folder, how)
    with pytest.raises(UserError, match=message) as caught:
        load(check_folder(folder), tiny_config.model, tiny_config.quantization, "cpu")
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_as_bin_only_simply_work(tiny_config, tiny_folder, tmp_path):
    from safetensors.torch import load_file

    folder = tmp_path / "model"
    shutil.copytree(tiny_folder, folder)
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    ours = load(check_folder(folder), tiny_config.model, tiny_config.quantization, "cpu")
    theirs = load(tiny_folder, tiny_config.model, tiny_config.quantization, "cpu")
    ids = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        assert torch.equal(ours.model(input_ids=ids).logits, theirs.model(input_ids=ids).logits)


def test_gradients_do_not_change_after_a_validation(tiny_base):
    """bitsandbytes 0.50.2 repacks weights on AVX512-BF16 CPUs in one eval-mode forward."""
    model = attach_adapter(tiny_base.model, LoraConfig(r=4, dropout=0.0))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    ids = torch.tensor([[5, 6, 7, 8, 9, 10]])

    def gradients():
        model.train()
        model.zero_grad()
        model(input_ids=ids, labels=ids).loss.backward()
        return [p.grad.clone() for p in model.parameters() if p.requires_grad]

    before = gradients()
    model.eval()
    with torch.no_grad():
        model(input_ids=ids)
    for old, new in zip(before, gradients(), strict=True):
        assert torch.equal(old, new)


def test_dtypes(monkeypatch):
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert pick_dtype(Dtype.auto, cpu) is torch.float32
    assert pick_dtype(Dtype.bf16, cpu) is torch.bfloat16
    for capability, wanted in (((7, 5), torch.float16), ((8, 6), torch.bfloat16)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _d, c=capability: c)
        assert pick_dtype(Dtype.auto, gpu) is wanted


def test_a_gpu_that_is_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto").type == "cpu"
    with pytest.raises(UserError, match="use trainer=cpu"):
        pick_device("gpu")


def test_a_missing_adapter(tiny_base, tmp_path):
    with pytest.raises(UserError, match="adapter_config.json is missing"):
        load_adapter(tiny_base.model, tmp_path)


class TestLocate:
    def test_a_local_folder(self, tiny_config, tiny_folder):
        import dataclasses

        model = dataclasses.replace(tiny_config.model, path=str(tiny_folder))
        assert locate(model) == tiny_folder.resolve()

    @pytest.mark.parametrize("path", ["/no/such/folder", "./none", "none"])
    def test_a_folder_that_is_not_there(self, tiny_config, path):
        import dataclasses

        with pytest.raises(UserError, match="no such folder"):
            locate(dataclasses.replace(tiny_config.model, path=path))

    def test_the_hub_without_network_says_what_to_do(
        self, tiny_config, capsys, monkeypatch, tmp_path
    ):
        import dataclasses

        from huggingface_hub import constants

        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
        model = dataclasses.replace(tiny_config.model, path="nobody/nothing", download_gib=0.1)
        with pytest.raises(OutsideError, match="cannot download nobody/nothing.*model.path="):
            locate(model)
        assert "about 0.1 GiB" in capsys.readouterr().err

    def test_a_disk_that_is_too_small(self, tiny_config, monkeypatch, tmp_path):
        import dataclasses

        from huggingface_hub import constants

        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "not" / "yet"))
        model = dataclasses.replace(tiny_config.model, path="nobody/huge", download_gib=1e9)
        with pytest.raises(DiskFullError, match="takes 1e\\+09 GiB, but .* free; make room"):
            locate(model)

    @pytest.mark.parametrize(
        ("name", "kind", "words"),
        [
            ("GatedRepoError", UserError, ["gated", "HF_TOKEN", "https://huggingface.co/a/b"]),
            ("RepositoryNotFoundError", UserError, ["no such model", "HF_TOKEN"]),
            ("RevisionNotFoundError", UserError, ["model.revision"]),
            ("HfHubHTTPError", OutsideError, ["check the network"]),
        ],
    )
    def test_what_the_hub_says(self, tiny_config, name, kind, words):
        import dataclasses

        import httpx
        from huggingface_hub import errors

        response = httpx.Response(403, request=httpx.Request("GET", "https://huggingface.co"))
        error = getattr(errors, name)("boom", response=response)
        model = dataclasses.replace(tiny_config.model, path="a/b", gated=True)
        translated = hub_error(model, error)
        assert type(translated) is kind
        assert all(word in str(translated) for word in words)
        assert "\n" not in str(translated)

    def test_a_gated_model_without_token_is_refused_before_the_hub_is_asked(
        self, tiny_config, monkeypatch, tmp_path
    ):
        import dataclasses

        from huggingface_hub import constants

        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
        monkeypatch.delenv("HF_TOKEN", raising=False)
        model = dataclasses.replace(tiny_config.model, path="meta/secret", gated=True)
        with pytest.raises(UserError, match="meta/secret is gated: accept.*HF_TOKEN"):
            locate(model)
