import json
import shutil
import subprocess
import sys

import pytest
import torch
from finished_run import build_finished_run
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from evqa.config import load_config
from evqa.errors import GateError, UserError
from evqa.export.questions import parity_questions
from evqa.registry import Aliases, Registry
from evqa.release import release


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory):
    return build_finished_run(tmp_path_factory.mktemp("release"))


@pytest.fixture
def outputs(finished_run, tmp_path):
    """A private copy of the outputs folder."""
    folder = tmp_path / "outputs"
    shutil.copytree(finished_run.parents[1], folder, symlinks=True)
    return folder


def configured(outputs, *overrides):
    return load_config(
        "release",
        [f"paths.outputs_dir={outputs}", "export=fp32", "export.served=never", *overrides],
    )


def run_folder(outputs):
    return (outputs / "runs" / "latest").resolve()


def edit_manifest(outputs, **changes):
    path = run_folder(outputs) / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_release_registers_a_candidate_that_loads(outputs, tmp_path, capsys):
    release(configured(outputs), tmp_path)
    registry = Registry(outputs / "registry", "evqa")
    assert registry.aliases() == Aliases(candidate=1)
    assert registry.problems(1) == []
    AutoModelForCausalLM.from_pretrained(registry.folder(1))
    lineage = registry.manifest(1).lineage
    assert lineage["git_commit"] == "abc"
    assert lineage["parity"]["num_questions"] == 8
    assert lineage["parity"]["top1_agreement"] == 1
    assert lineage["metrics"]["systems"]["tuned"]["bleu"]["value"] == 1
    assert "registered evqa/1 (candidate)" in capsys.readouterr().out


def test_json_output_is_one_object(outputs, tmp_path, capsys):
    release(configured(outputs, "output=json", "registry.name=other"), tmp_path)
    printed = json.loads(capsys.readouterr().out)
    assert (printed["name"], printed["version"]) == ("other", 1)


def test_the_registry_may_live_elsewhere(outputs, tmp_path):
    release(configured(outputs, f"registry.folder={tmp_path / 'shared'}"), tmp_path)
    assert (tmp_path / "shared" / "evqa" / "1" / "model.safetensors").is_file()


def change_after_merging(monkeypatch, change):
    """Let every merge be followed by a change of its folder, as a bad merge would make it."""
    import evqa.export.merge as module

    def broken_merge(base, adapter, staged, *arguments):
        real(base, adapter, staged, *arguments)
        change(staged)

    real = module.merge_adapter
    monkeypatch.setattr(module, "merge_adapter", broken_merge)


def scaled(factor, name="model.layers.0.mlp.down_proj.weight"):
    def change(folder):
        weights = load_file(folder / "model.safetensors")
        weights[name] *= factor
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})

    return change


def template(old, new):
    def change(folder):
        path = folder / "chat_template.jinja"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return change


def other_dtype(folder):
    """Sixteen-bit weights rounded to eight bits: the wrong type, whatever the config says."""
    weights = load_file(folder / "model.safetensors")
    rounded = {k: v.to(torch.float8_e5m2).to(v.dtype) for k, v in weights.items()}
    save_file(rounded, folder / "model.safetensors", metadata={"format": "pt"})


def without_layer(folder):
    """The last layer passes its input through: what it adds to the residual stream is nothing."""
    for name in ("self_attn.o_proj", "mlp.down_proj"):
        scaled(0.0, f"model.layers.1.{name}.weight")(folder)


MUTANTS = {
    "layer scaled": scaled(3.0),
    "layer dropped": without_layer,
    "extra bos": template("{{ bos_token }}", "{{ bos_token }}{{ bos_token }}"),
    "system prompt": template("Answer briefly.", "Answer at length."),
    "no generation header": template("<|assistant|>", ""),
    "wrong dtype": other_dtype,
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_wrong_merge_fails_the_gate_and_registers_nothing(
    outputs, tmp_path, monkeypatch, mutant
):
    change_after_merging(monkeypatch, MUTANTS[mutant])
    with pytest.raises(GateError, match="parity"):
        release(configured(outputs), tmp_path)
    registry = Registry(outputs / "registry", "evqa")
    assert registry.versions() == []
    assert list(registry.root.iterdir()) == []


def test_an_adapter_merged_twice_over_fails_the_gate(outputs, tmp_path, monkeypatch):
    import evqa.export.adapter as module

    real = module.SavedAdapter.merge
    monkeypatch.setattr(
        module.SavedAdapter,
        "merge",
        lambda self, name, weight: 2 * real(self, name, weight) - weight,
    )
    with pytest.raises(GateError, match="parity"):
        release(configured(outputs), tmp_path)


def test_the_right_merge_passes_through_the_same_harness(outputs, tmp_path, monkeypatch):
    change_after_merging(monkeypatch, scaled(1.0))
    release(configured(outputs), tmp_path)
    assert Registry(outputs / "registry", "evqa").versions() == [1]


def lineage_of(outputs):
    return Registry(outputs / "registry", "evqa").manifest(1).lineage


def test_the_weights_nearer_to_the_adapter_on_its_base_are_chosen_and_said(
    outputs, tmp_path, capsys
):
    release(configured(outputs), tmp_path)
    parity = lineage_of(outputs)["parity"]
    assert parity["weights"] == "trained"
    assert parity["compared"].keys() == {"trained", "original"}
    assert parity["compared"]["original"]["kl_nats"] > parity["compared"]["trained"]["kl_nats"]
    assert parity["kl_nats"] == parity["compared"]["trained"]["kl_nats"]
    assert "parity (trained)" in capsys.readouterr().out


def test_weights_asked_for_are_the_only_ones_tried(outputs, tmp_path):
    release(configured(outputs, "export.base_weights=trained"), tmp_path)
    assert lineage_of(outputs)["parity"]["compared"].keys() == {"trained"}


def test_original_weights_of_this_chaotic_model_do_not_pass(outputs, tmp_path):
    with pytest.raises(GateError, match="parity"):
        release(configured(outputs, "export.base_weights=original"), tmp_path)


LENIENT = [
    "export.quantized_parity.min_top1_agreement=0",
    "export.quantized_parity.max_kl_nats=100",
    "export.quantized_parity.max_perplexity_ratio=100",
]


@pytest.mark.parametrize("kind", ["fp8", "w4a16"])
def test_a_quantised_version_is_registered_with_the_parity_of_both(outputs, tmp_path, kind):
    release(configured(outputs, f"export.quantization={kind}", *LENIENT), tmp_path)
    parity = lineage_of(outputs)["parity"]
    assert parity["weights"] == f"trained, {kind}"
    assert parity["compared"].keys() == {"trained", "original", f"trained, {kind}"}
    folder = Registry(outputs / "registry", "evqa").folder(1)
    config = json.loads((folder / "config.json").read_text())
    assert config["quantization_config"]["quant_method"] == "compressed-tensors"


def test_a_quantised_version_that_says_something_else_is_refused(outputs, tmp_path):
    with pytest.raises(GateError, match=r"export\.quantized_parity\."):
        release(configured(outputs, "export.quantization=w4a16"), tmp_path)
    assert Registry(outputs / "registry", "evqa").versions() == []


def test_the_version_carries_the_verdict_of_the_latest_evaluation(outputs, tmp_path):
    run = run_folder(outputs)
    for day, verdict in (("01", "NO_SHIP"), ("03", "SHIP"), ("02", "NOT_ENOUGH_DATA")):
        folder = outputs / "evaluations" / day
        folder.mkdir(parents=True)
        results = {"created": f"2026-01-{day}", "run": str(run), "verdict": verdict}
        (folder / "evaluation_results.json").write_text(json.dumps(results))
    other = outputs / "evaluations" / "other"
    other.mkdir()
    results = {"created": "2026-02-01", "run": "/elsewhere", "verdict": "NO_SHIP"}
    (other / "evaluation_results.json").write_text(json.dumps(results))
    broken = outputs / "evaluations" / "broken"
    broken.mkdir()
    (broken / "evaluation_results.json").write_text("{")
    release(configured(outputs), tmp_path)
    assert lineage_of(outputs)["verdict"] == "SHIP"


def test_without_any_evaluation_there_is_no_verdict(outputs, tmp_path):
    (run_folder(outputs) / "metrics.json").unlink()
    release(configured(outputs), tmp_path)
    assert lineage_of(outputs)["verdict"] is None


def test_without_a_run_it_says_train_first(tmp_path):
    with pytest.raises(UserError, match=r"run `python train.py` first"):
        release(configured(tmp_path), tmp_path)


def test_a_run_without_adapter_is_refused(outputs, tmp_path):
    shutil.rmtree(run_folder(outputs) / "adapter")
    with pytest.raises(UserError, match="no adapter there"):
        release(configured(outputs), tmp_path)


def test_a_base_that_is_gone_is_refused(outputs, tmp_path):
    edit_manifest(outputs, base={"path": str(tmp_path / "gone")})
    with pytest.raises(UserError, match="base model's folder is gone"):
        release(configured(outputs), tmp_path)


def test_a_base_that_has_changed_is_refused(outputs, tmp_path, finished_run):
    """So an adapter is never merged a second time, into what it was merged into already."""
    base = json.loads((finished_run / "manifest.json").read_text())["base"]
    edit_manifest(outputs, base={**base, "sha256": "0" * 64})
    with pytest.raises(UserError, match="weights are not those that were trained on"):
        release(configured(outputs), tmp_path)


def test_a_manifest_without_base_is_refused(outputs, tmp_path):
    edit_manifest(outputs, base=None)
    with pytest.raises(UserError, match=r"base\.path is missing"):
        release(configured(outputs), tmp_path)


def test_parity_questions_come_from_config_then_benchmark_then_pairs(outputs, tmp_path):
    manifest = json.loads((run_folder(outputs) / "manifest.json").read_text())
    manifest["config"]["benchmark"] = None
    assert parity_questions(configured(outputs).export.parity, manifest)[0] == "What is 0?"
    benchmark = tmp_path / "benchmark.jsonl"
    benchmark.write_text('{"question": "from the benchmark"}\n\n')
    manifest["config"]["benchmark"] = {"path": str(benchmark)}
    assert parity_questions(configured(outputs).export.parity, manifest) == ["from the benchmark"]
    own = tmp_path / "own.jsonl"
    own.write_text('{"question": "own"}')
    config = configured(outputs, f"export.parity.questions={own}")
    assert parity_questions(config.export.parity, manifest) == ["own"]


def test_parity_without_any_question_is_refused(outputs):
    with pytest.raises(UserError, match=r"export\.parity\.questions: must be set"):
        parity_questions(configured(outputs).export.parity, {})


@pytest.mark.parametrize("line", ["{", "[]", "{}", "3"])
def test_a_broken_question_names_file_and_line(outputs, tmp_path, line):
    file = tmp_path / "q.jsonl"
    file.write_text('{"question": "fine"}\n' + line)
    config = configured(outputs, f"export.parity.questions={file}")
    with pytest.raises(UserError, match=rf"{file}:2: expected an object with a `question`"):
        parity_questions(config.export.parity, {})


def test_the_command_ends_with_2_and_one_line_without_a_run(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "evqa.release", f"paths.outputs_dir={tmp_path}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: run=latest: no finished run")
    assert done.stderr.count("\n") == 1
