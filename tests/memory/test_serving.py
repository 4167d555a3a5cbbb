"""What serving takes: the forms of a version, and which of them fit six gibibytes."""

import pytest

from evqa.architectures import Architecture
from evqa.config import load_config
from evqa.config.serving import ExportQuantization
from evqa.errors import GateError
from evqa.memory.serving import (
    fitting_forms,
    plan_serving,
    require_serving_fit,
    weight_bytes,
)

GIB = 2**30


def shape(model):
    return Architecture.from_config(load_config("train", [f"model={model}"]).model.architecture)


@pytest.mark.parametrize(
    ("model", "forms"),
    [
        ("llama3_2_1b", ["none", "fp8", "w4a16"]),
        ("llama3_2_3b", ["fp8", "w4a16"]),
        ("mistral_7b", ["w4a16"]),
        ("llama3_1_8b", []),
    ],
)
def test_what_fits_six_gibibytes(model, forms):
    assert fitting_forms(shape(model), 1024, 6) == forms


def test_the_golden_weights_of_an_8b_model():
    """Embedding and head in bf16 are 1.96 GiB; the linear layers 13.0, 6.5 or 3.35 GiB."""
    model = shape("llama3_1_8b")
    in_gib = {form.value: weight_bytes(model, form) / GIB for form in ExportQuantization}
    assert in_gib["none"] == pytest.approx(14.96, abs=0.02)
    assert in_gib["fp8"] == pytest.approx(8.46, abs=0.02)
    assert in_gib["w4a16"] == pytest.approx(5.31, abs=0.02)


def test_the_refusal_names_the_forms_that_fit():
    model = shape("llama3_2_3b")
    plan = plan_serving(model, weight_bytes(model, ExportQuantization.none), 1024, 6)
    with pytest.raises(GateError, match="export.quantization=fp8 or w4a16"):
        require_serving_fit(plan, model, 1024, 6)


def test_where_no_form_fits_other_ways_are_named():
    model = shape("llama3_1_8b")
    plan = plan_serving(model, weight_bytes(model, ExportQuantization.w4a16), 1024, 6)
    with pytest.raises(GateError, match=r"no form of it fits: .*llama\.cpp"):
        require_serving_fit(plan, model, 1024, 6)


def test_without_a_card_everything_fits():
    model = shape("llama3_1_8b")
    plan = plan_serving(model, 1e12, 1024, None)
    assert plan.fits
    assert plan.spare_kv_gib is None


def test_the_terms_are_the_files_own(tmp_path):
    """A quantised checkpoint on the disk is as large as planned, but for its header."""
    from tiny_llama import build_tiny_llama

    from evqa.export.quantize import quantize_checkpoint

    merged = build_tiny_llama(tmp_path / "merged")
    model = Architecture.from_folder(merged)
    out = tmp_path / "fp8"
    out.mkdir()
    quantize_checkpoint(merged, out, ExportQuantization.fp8, 1.0)
    stored = (out / "model.safetensors").stat().st_size
    rest = model.num_parameters - model.num_linear_parameters  # fp32 in this tiny model
    planned = weight_bytes(model, ExportQuantization.fp8) + 2 * rest
    assert stored == pytest.approx(planned, rel=0.08)


def test_serving_asks_the_version_that_will_be_served(tmp_path, capsys):
    from tiny_llama import build_tiny_llama

    from evqa.fit import check_fit

    folder = build_tiny_llama(tmp_path / "model")
    words = [f"server.model_dir={folder}"]
    plan = check_fit(load_config("serve", [*words, "server.memory_gib=6"]), folder)
    assert plan.fits
    assert "GiB hold keys and values" in capsys.readouterr().err
    with pytest.raises(GateError, match=r"server\.memory_gib=1: "):
        check_fit(load_config("serve", [*words, "server.memory_gib=1"]), folder)
    assert check_fit(load_config("serve", words), folder) is None
