import json
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_llama import build_tiny_adapter, build_tiny_llama
from transformers import AutoModelForCausalLM

from evqa.config import load_config
from evqa.errors import GateError, UserError
from evqa.files import point_link
from evqa.provenance import weights_sha256
from evqa.registry import Aliases, Registry
from evqa.release import parity_questions, release


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory):
    """A run folder as training leaves it, and the outputs folder around it."""
    root = tmp_path_factory.mktemp("release")
    base = build_tiny_llama(root / "base", with_tokenizer=False)
    run = root / "outputs" / "runs" / "2026-01-01_run"
    build_tiny_adapter(base, run / "adapter")
    dataset = root / "prepared"
    dataset.mkdir()
    pairs = [json.dumps({"question": f"What is {n}?"}) for n in range(20)]
    (dataset / "pairs.jsonl").write_text("\n".join(pairs))
    manifest = {
        "job": "train",
        "finished": True,
        "git_commit": "abc",
        "seed": 42,
        "command": "python train.py",
        "versions": {"torch": torch.__version__},
        "config": {"lora": {"r": 4, "alpha": 8.0}},
        "dataset": {"id": "d", "folder": str(dataset), "sha256": "0" * 64},
        "base": {"path": str(base), "revision": None, "sha256": weights_sha256(base)},
    }
    (run / "manifest.json").write_text(json.dumps(manifest))
    (run / "metrics.json").write_text(json.dumps({"systems": {"tuned": {"bleu": {"value": 1}}}}))
    point_link(run.parent / "latest", run)
    return run


@pytest.fixture
def outputs(finished_run, tmp_path):
    """A private copy of the outputs folder."""
    folder = tmp_path / "outputs"
    shutil.copytree(finished_run.parents[1], folder, symlinks=True)
    return folder


def configured(outputs, *overrides):
    return load_config("release", [f"paths.outputs_dir={outputs}", "export=fp32", *overrides])


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


def scale_after_merging(monkeypatch, factor):
    """Let the merged weights be wrong by scaling one matrix, as a bad merge would."""
    import evqa.release as job

    def broken_merge(base, adapter, staged, dtype, shard, nf4):
        real(base, adapter, staged, dtype, shard, nf4)
        weights = load_file(staged / "model.safetensors")
        weights["model.layers.0.mlp.down_proj.weight"] *= factor
        save_file(weights, staged / "model.safetensors", metadata={"format": "pt"})

    real = job.merge_adapter
    monkeypatch.setattr(job, "merge_adapter", broken_merge)


def test_a_wrong_merge_fails_the_gate_and_registers_nothing(outputs, tmp_path, monkeypatch):
    scale_after_merging(monkeypatch, 3.0)
    with pytest.raises(GateError, match="parity"):
        release(configured(outputs), tmp_path)
    registry = Registry(outputs / "registry", "evqa")
    assert registry.versions() == []
    assert list(registry.root.iterdir()) == []


def test_the_right_merge_passes_through_the_same_harness(outputs, tmp_path, monkeypatch):
    scale_after_merging(monkeypatch, 1.0)
    release(configured(outputs), tmp_path)
    assert Registry(outputs / "registry", "evqa").versions() == [1]


def test_a_changed_chat_template_fails_the_gate(outputs, tmp_path, monkeypatch):
    import evqa.release as job

    def broken_merge(base, adapter, staged, dtype, shard, nf4):
        real(base, adapter, staged, dtype, shard, nf4)
        template = staged / "chat_template.jinja"
        template.write_text(template.read_text().replace("Answer briefly.", "Be brief."))

    real = job.merge_adapter
    monkeypatch.setattr(job, "merge_adapter", broken_merge)
    with pytest.raises(GateError, match="prompts have other token ids"):
        release(configured(outputs), tmp_path)


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
    assert parity_questions(configured(outputs), manifest)[0] == "What is 0?"
    benchmark = tmp_path / "benchmark.jsonl"
    benchmark.write_text('{"question": "from the benchmark"}\n\n')
    manifest["config"]["benchmark"] = {"path": str(benchmark)}
    assert parity_questions(configured(outputs), manifest) == ["from the benchmark"]
    own = tmp_path / "own.jsonl"
    own.write_text('{"question": "own"}')
    config = configured(outputs, f"export.parity.questions={own}")
    assert parity_questions(config, manifest) == ["own"]


def test_parity_without_any_question_is_refused(outputs):
    with pytest.raises(UserError, match=r"export\.parity\.questions: must be set"):
        parity_questions(configured(outputs), {})


@pytest.mark.parametrize("line", ["{", "[]", "{}", "3"])
def test_a_broken_question_names_file_and_line(outputs, tmp_path, line):
    file = tmp_path / "q.jsonl"
    file.write_text('{"question": "fine"}\n' + line)
    config = configured(outputs, f"export.parity.questions={file}")
    with pytest.raises(UserError, match=rf"{file}:2: expected an object with a `question`"):
        parity_questions(config, {})


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
