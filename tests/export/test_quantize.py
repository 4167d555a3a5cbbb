import json
import shutil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from tiny_llama import build_tiny_llama

from evqa.config.serving import ExportQuantization
from evqa.errors import UserError
from evqa.export.loading import load_model
from evqa.export.quantize import (
    fp8_scales,
    int4_scales,
    pick_group_size,
    quantize_checkpoint,
)

UP = "model.layers.0.mlp.up_proj"
KINDS = [ExportQuantization.fp8, ExportQuantization.w4a16]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return build_tiny_llama(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def quantized(model, tmp_path_factory):
    folders = {}
    for kind in KINDS:
        folders[kind] = tmp_path_factory.mktemp(str(kind))
        quantize_checkpoint(model, folders[kind], kind, 4.0)
    return folders


def int4_error(weight, scale, group_size):
    groups = weight.unflatten(1, (-1, group_size))
    rounded = (groups / scale.float()[..., None]).round().clamp(-8, 7) * scale.float()[..., None]
    return (rounded - groups).square().sum(dim=-1)


@pytest.mark.parametrize(("kind", "largest"), [(KINDS[0], 0.04), (KINDS[1], 0.12)])
def test_it_loads_in_transformers_with_nearly_the_same_weights(model, quantized, kind, largest):
    before = load_model(str(model), "fp32").state_dict()
    after = load_model(str(quantized[kind]), "fp32").state_dict()
    assert before.keys() == after.keys()
    for name, weight in before.items():
        error = (after[name] - weight).norm() / weight.norm()
        if "proj" in name:
            assert 0 < error < largest, name
        else:
            assert error == 0, name


def test_the_files_have_the_formats_names_types_and_shapes(quantized):
    int4 = load_file(quantized[ExportQuantization.w4a16] / "model.safetensors")
    assert int4[f"{UP}.weight_packed"].shape == (128, 64 // 8)
    assert int4[f"{UP}.weight_packed"].dtype == torch.int32
    assert int4[f"{UP}.weight_scale"].shape == (128, 1)
    assert int4[f"{UP}.weight_shape"].tolist() == [128, 64]
    assert f"{UP}.weight" not in int4
    fp8 = load_file(quantized[ExportQuantization.fp8] / "model.safetensors")
    assert fp8[f"{UP}.weight"].dtype == torch.float8_e4m3fn
    assert fp8[f"{UP}.weight_scale"].shape == (128, 1)
    assert int4["lm_head.weight"].shape == fp8["lm_head.weight"].shape


@pytest.mark.parametrize(
    ("kind", "expected"), [(KINDS[0], "float-quantized"), (KINDS[1], "pack-quantized")]
)
def test_the_config_says_how_to_read_it(quantized, kind, expected):
    config = json.loads((quantized[kind] / "config.json").read_text())
    said = config["quantization_config"]
    assert said["quant_method"] == "compressed-tensors"
    assert said["format"] == expected
    assert said["ignore"] == ["lm_head"]
    assert said["quantization_status"] == "compressed"


def test_what_belongs_to_the_weights_travels(model, quantized):
    for folder in quantized.values():
        for file in ("tokenizer.json", "chat_template.jinja", "generation_config.json"):
            assert (folder / file).read_bytes() == (model / file).read_bytes()


@settings(max_examples=40)
@given(st.integers(1, 6), st.sampled_from([32, 64]), st.integers(1, 3), st.integers(0, 2**31))
def test_no_group_is_rounded_worse_than_by_its_largest_value(rows, group_size, groups, seed):
    torch.manual_seed(seed)
    weight = torch.randn(rows, group_size * groups) * torch.rand(rows, 1).exp()
    found = int4_scales(weight, group_size, torch.bfloat16)
    plain = weight.unflatten(1, (-1, group_size)).abs().amax(-1) / 7.5
    assert found.shape == (rows, groups)
    gain = int4_error(weight, plain.to(torch.bfloat16), group_size) - int4_error(
        weight, found, group_size
    )
    assert gain.min() >= -1e-4


@pytest.mark.parametrize("weight", [torch.zeros(2, 32), torch.full((2, 32), 1e-30)])
def test_zeros_stay_zero(weight):
    scale = int4_scales(weight, 32, torch.bfloat16).float()
    assert torch.isfinite(scale).all()
    assert (scale > 0).all()
    assert (weight / scale.repeat_interleave(32, 1)).round().abs().max() == 0
    assert (fp8_scales(weight, torch.bfloat16) > 0).all()


def test_fp8_rows_use_the_whole_range():
    weight = torch.tensor([[1.0, -4.0], [896.0, 3.0]])
    scales = fp8_scales(weight, torch.float32)
    assert scales.flatten().tolist() == pytest.approx([4 / 448, 2.0])


@pytest.mark.parametrize(
    ("widths", "size"), [({128, 256}, 128), ({64, 128}, 64), ({96, 32}, 32), ({4096}, 128)]
)
def test_the_largest_group_that_divides_all_widths_is_taken(tmp_path, widths, size):
    assert pick_group_size(tmp_path, widths) == size


def test_widths_that_no_group_divides_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"has a layer 48 wide.*use fp8 or none"):
        pick_group_size(tmp_path, {64, 48})


def test_a_folder_in_use_is_not_written_over(model, tmp_path):
    (tmp_path / "mine").touch()
    with pytest.raises(UserError, match="not empty"):
        quantize_checkpoint(model, tmp_path, ExportQuantization.fp8, 4.0)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_sharded_model_gives_the_same_weights(model, quantized, tmp_path):
    sharded = tmp_path / "sharded"
    load_model(str(model), "fp32").save_pretrained(sharded, max_shard_size=100_000)
    shutil.copyfile(model / "tokenizer.json", sharded / "tokenizer.json")
    output = tmp_path / "output"
    output.mkdir()
    quantize_checkpoint(sharded, output, ExportQuantization.w4a16, 100_000 / 2**30)
    parts = [load_file(path) for path in output.glob("model-*.safetensors")]
    assert len(parts) > 1
    whole = load_file(quantized[ExportQuantization.w4a16] / "model.safetensors")
    written = {name: tensor for part in parts for name, tensor in part.items()}
    assert written.keys() == whole.keys()
    assert all(torch.equal(written[name], tensor) for name, tensor in whole.items())
