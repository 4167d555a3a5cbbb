"""One training: checkpoints, the adapter, and resuming to the bit."""

import copy
import json
import os
import signal

import pytest
import torch
from safetensors.torch import load_file

from evqa.config import TrainConfig, from_dict, to_dict
from evqa.config.model import QuantizationKind
from evqa.config.training import AdapterFrom, Batching, OnOutOfMemory
from evqa.data.dataset import build_samples
from evqa.errors import (
    DiskFullError,
    InterruptedRunError,
    MemoryExhaustedError,
    UserError,
)
from evqa.ledger import Ledger
from evqa.models.base import load
from evqa.models.load import attach_adapter
from evqa.records import QAPair
from evqa.tracking import Tracker
from evqa.training.checkpoints import BEST, LAST
from evqa.training.fit import fit
from evqa.training.module import QLoRAModule
from evqa.training.recorder import FlightRecorder
from evqa.training.run import prepare_process


def pairs(count=22):
    for number in range(count):
        yield QAPair(
            id=f"p{number}", question=f"How much is {number}?", answer=f"It is {number} kW. " * (1 + number % 4),
            quote=None, quote_start=None, quote_end=None, chunk_id=None, document_id=None,
            category="x", difficulty="easy", split="validation" if number % 7 == 6 else "train",
            generator="shipped", provenance={},
        )  # fmt: skip


@pytest.fixture
def config(tiny_config):
    made = from_dict(TrainConfig, to_dict(tiny_config))
    made.trainer.micro_batch_size = 2
    made.trainer.effective_batch_size = 4
    made.trainer.num_epochs = 3
    made.optimizer.lr = 1e-2
    made.lora.dropout = 0.1
    made.callbacks.checkpoint_every_n_steps = 2
    made.callbacks.progress_bar = False
    return made


def run(config, base_folder, folder, *, source=pairs, tracker=None):
    prepare_process(config.seed, 1)
    loaded = load(base_folder, config.model, config.quantization, "cpu")
    prepare_process(config.seed, 1)
    model = attach_adapter(loaded.model, config.lora)
    samples = build_samples(source(), loaded.tokenizer, 128, Ledger())
    folder.mkdir(exist_ok=True)
    result = fit(config, model, loaded.tokenizer, samples, folder, tracker or Tracker(None))
    return result, model, loaded.tokenizer


def steps(folder):
    return [json.loads(line) for line in (folder / "steps.jsonl").read_text().splitlines()]


def same_adapter(one, two):
    a, b = (load_file(f / "adapter" / "adapter_model.safetensors") for f in (one, two))
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def reference(tiny_config, tiny_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    made = from_dict(TrainConfig, to_dict(tiny_config))
    made.trainer.micro_batch_size, made.trainer.effective_batch_size = 2, 4
    made.trainer.num_epochs = 3
    made.optimizer.lr = 1e-2
    made.lora.dropout = 0.1
    made.callbacks.checkpoint_every_n_steps = 2
    made.callbacks.progress_bar = False
    return folder, run(made, tiny_folder, folder)[0]


def test_it_learns_and_writes_what_the_design_lists(reference):
    folder, result = reference
    lines = steps(folder)
    assert [line["step"] for line in lines] == list(range(1, 16))
    assert lines[-1]["loss"] < 0.9 * lines[0]["loss"]
    assert {p.name for p in (folder / "checkpoints").iterdir()} == {BEST, LAST}
    assert sorted(p.name for p in folder.iterdir()) == [
        "adapter",
        "checkpoints",
        "steps.jsonl",
        "validations.jsonl",
    ]
    assert result.num_steps == 15
    assert result.validation_loss > 0
    assert set(lines[0]) == {
        "step", "epoch", "loss", "gradient_norm", "lr", "tokens_per_s", "label_tokens_per_s",
        "num_tokens", "num_padding_tokens", "memory_gib", "sample_ids", "sample_losses",
    }  # fmt: skip
    seen = sorted(name for line in lines[:5] for name in line["sample_ids"])
    assert len(seen) == len(set(seen)) == 19


def test_checkpoints_hold_the_adapter_only(reference):
    state = torch.load(reference[0] / "checkpoints" / LAST, weights_only=False)
    assert state["state_dict"]
    assert all("lora_" in name for name in state["state_dict"])


def test_the_same_seed_gives_the_same_adapter(config, reference, tiny_folder, tmp_path):
    run(config, tiny_folder, tmp_path / "again")
    assert same_adapter(reference[0], tmp_path / "again")


def test_another_seed_gives_another(config, reference, tiny_folder, tmp_path):
    config.seed += 1
    run(config, tiny_folder, tmp_path / "other")
    assert not same_adapter(reference[0], tmp_path / "other")


def test_the_adapter_loads_with_plain_peft(config, reference, tiny_folder, tmp_path):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    config.quantization.kind = QuantizationKind.none
    config.callbacks.adapter_from = AdapterFrom.last
    _result, ours, tokenizer = run(config, tiny_folder, tmp_path / "plain")
    base = AutoModelForCausalLM.from_pretrained(tiny_folder)
    theirs = PeftModel.from_pretrained(base, tmp_path / "plain" / "adapter").eval()
    ids = torch.tensor([tokenizer.encode("How fast is it?")])
    ours.eval()
    with torch.no_grad():
        assert torch.equal(ours(input_ids=ids).logits, theirs(input_ids=ids).logits)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("stop_after", [1, 4, 7, 11])
def test_killed_at_any_step_and_resumed_it_is_bitwise_the_same(
    config, reference, tiny_folder, tmp_path, monkeypatch, stop_after
):
    folder = tmp_path / "killed"
    real = FlightRecorder.on_train_batch_end

    def dying(self, trainer, *args):
        real(self, trainer, *args)
        if trainer.global_step == stop_after:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(FlightRecorder, "on_train_batch_end", dying)
        with pytest.raises(Killed):
            run(config, tiny_folder, folder)
    assert not (folder / "adapter").exists()
    torch.manual_seed(1234)  # whatever the new process has drawn before
    run(config, tiny_folder, folder)
    assert same_adapter(reference[0], folder)
    lines = steps(folder)
    assert [line["step"] for line in lines] == list(range(1, 16))
    resumed = [line["resumed_from_step"] for line in lines if "resumed_from_step" in line]
    # A checkpoint is written every second step, after the line that the kill comes with.
    saved = (stop_after - 1) - (stop_after - 1) % 2
    assert resumed == ([saved] if saved else [])
    wanted = [(line["loss"], line["sample_ids"]) for line in steps(reference[0])]
    assert [(line["loss"], line["sample_ids"]) for line in lines] == wanted


@pytest.mark.parametrize("batching", ["padded", "length_grouped", "padding_free", "packed"])
def test_every_batching_resumes_to_the_bit_and_makes_the_same_steps(
    config, reference, tiny_folder, tmp_path, monkeypatch, batching
):
    config.trainer.batching = Batching(batching)
    config.lora.dropout = 0.0
    run(copy.deepcopy(config), tiny_folder, tmp_path / "whole")
    real = FlightRecorder.on_train_batch_end

    def dying(self, trainer, *args):
        real(self, trainer, *args)
        if trainer.global_step == 8:  # in the second epoch, one step after a checkpoint
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(FlightRecorder, "on_train_batch_end", dying)
        with pytest.raises(Killed):
            run(copy.deepcopy(config), tiny_folder, tmp_path / "killed")
    run(copy.deepcopy(config), tiny_folder, tmp_path / "killed")
    assert same_adapter(tmp_path / "whole", tmp_path / "killed")
    lines, others = steps(tmp_path / "whole"), steps(reference[0])
    assert [sorted(x["sample_ids"]) for x in lines] == [sorted(x["sample_ids"]) for x in others]
    assert lines[0]["loss"] == pytest.approx(others[0]["loss"], rel=1e-5)
    padding = sum(line["num_padding_tokens"] for line in lines)
    assert (padding == 0) == (batching in ("padding_free", "packed"))


class OutOfMemoryAbove:
    """A device on which no more than ``limit`` samples fit, once a step has been made."""

    def __init__(self, limit, after_step, error):
        self.limit, self.after_step, self.error = limit, after_step, error
        self.num_failures = 0

    def install(self, patch):
        real = QLoRAModule.training_step

        def failing(module, batch, batch_idx):
            if len(batch["sample_ids"]) > self.limit and module.global_step >= self.after_step:
                self.num_failures += 1
                raise self.error
            return real(module, batch, batch_idx)

        patch.setattr(QLoRAModule, "training_step", failing)


NO_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
]


@pytest.mark.parametrize("error", NO_MEMORY)
@pytest.mark.parametrize("after_step", [0, 6])
def test_out_of_memory_halves_the_micro_batch_and_goes_on(
    config, tiny_folder, tmp_path, monkeypatch, error, after_step, capsys
):
    config.lora.dropout = 0.0
    config.trainer.batching = Batching.padding_free
    config.trainer.micro_batch_size = 4
    config.trainer.on_out_of_memory = OnOutOfMemory.halve
    run(copy.deepcopy(config), tiny_folder, tmp_path / "roomy")
    device = OutOfMemoryAbove(1, after_step, error)
    with monkeypatch.context() as patch:
        device.install(patch)
        result, _model, _tokenizer = run(config, tiny_folder, tmp_path / "tight")
    assert device.num_failures == 2
    assert result.micro_batch_size == 1
    assert "going on from the last step with 1, 4 of them a step" in capsys.readouterr().err
    one, two = steps(tmp_path / "roomy"), steps(tmp_path / "tight")
    assert [line["step"] for line in two] == list(range(1, 16))
    assert [set(x["sample_ids"]) for x in one] == [set(x["sample_ids"]) for x in two]
    assert [x["loss"] for x in one] == pytest.approx([x["loss"] for x in two], rel=1e-3)
    assert [x.get("resumed_from_step") for x in two if "resumed_from_step" in x] == (
        [after_step] if after_step else []
    )


def test_out_of_memory_stops_with_what_the_planner_would_change(
    config, tiny_folder, tmp_path, monkeypatch
):
    device = OutOfMemoryAbove(0, 3, NO_MEMORY[0])
    device.install(monkeypatch)
    with pytest.raises(
        MemoryExhaustedError, match=r"micro_batch_size=2 .*CUDA out.*; try .* GiB\)"
    ):
        run(config, tiny_folder, tmp_path)
    assert (tmp_path / "checkpoints" / LAST).exists(), "the last step is kept"


def test_another_error_is_not_out_of_memory(config, tiny_folder, tmp_path, monkeypatch):
    OutOfMemoryAbove(0, 0, RuntimeError("odd")).install(monkeypatch)
    with pytest.raises(RuntimeError, match="odd"):
        run(config, tiny_folder, tmp_path)


def test_no_room_for_checkpoints_is_found_before_the_start(
    config, tiny_folder, tmp_path, monkeypatch
):
    from collections import namedtuple

    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage(1, 1, 1000))
    with pytest.raises(DiskFullError, match=r"checkpoints take .* GiB free; make room"):
        run(config, tiny_folder, tmp_path)
    assert not (tmp_path / "steps.jsonl").exists()


def test_a_loss_that_jumps_is_told_with_its_samples(
    config, tiny_folder, tmp_path, monkeypatch, capsys
):
    real = QLoRAModule.training_step

    def jumping(module, batch, batch_idx):
        loss = real(module, batch, batch_idx)
        if module.global_step == 12:
            module.tally.loss *= 50
        return loss

    monkeypatch.setattr(QLoRAModule, "training_step", jumping)
    run(config, tiny_folder, tmp_path)
    incident = json.loads((tmp_path / "incidents.jsonl").read_text())
    assert (incident["kind"], incident["step"]) == ("spike", 13)
    assert set(incident["worst_samples"]) <= set(steps(tmp_path)[12]["sample_ids"])
    said = capsys.readouterr().err
    assert f"python -m evqa.show_batch run={tmp_path} step=13" in said
    assert said.count("times the running mean") == 1


def test_the_best_k_checkpoints_are_kept(config, tiny_folder, tmp_path):
    config.callbacks.keep_best_checkpoints = 2
    config.callbacks.adapter_from = AdapterFrom.best
    result, _model, _tokenizer = run(config, tiny_folder, tmp_path)
    names = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    assert len([name for name in names if name.startswith("best")]) == 2
    assert LAST in names
    assert result.checkpoint.name in names
    assert result.checkpoint.name.startswith("best")


def test_lora_plus_lets_b_learn_faster(config, tiny_folder, tmp_path):
    from evqa.training.optim import parameter_groups

    config.optimizer.lora_plus_ratio = 16.0
    _result, model, _tokenizer = run(config, tiny_folder, tmp_path)
    named = {n: p for n, p in model.named_parameters() if p.requires_grad}
    slow, fast = parameter_groups(config.optimizer, named)
    assert fast["lr"] == 16 * config.optimizer.lr
    assert len(slow["params"]) == len(fast["params"]) == len(named) / 2
    assert all(any(p is q for n, q in named.items() if "lora_B" in n) for p in fast["params"])


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_the_step_and_says_how_to_resume(
    config, reference, tiny_folder, tmp_path, monkeypatch, signum
):
    folder = tmp_path / "stopped"
    real = FlightRecorder.on_train_batch_start

    def signalled(self, trainer, *args):
        real(self, trainer, *args)
        if trainer.global_step == 5 and not self._signalled:
            self._signalled = True
            os.kill(os.getpid(), signum)

    before = signal.getsignal(signum)
    with monkeypatch.context() as patch:
        patch.setattr(FlightRecorder, "on_train_batch_start", signalled)
        patch.setattr(FlightRecorder, "_signalled", False, raising=False)
        with pytest.raises(InterruptedRunError, match="interrupted after step 6.*resume=") as stop:
            run(config, tiny_folder, folder)
    assert stop.value.exit_code == 128 + signum
    assert signal.getsignal(signum) == before
    run(config, tiny_folder, folder)
    assert same_adapter(reference[0], folder)
    assert steps(folder)[6]["resumed_from_step"] == 6


def test_accumulation_does_not_change_the_step(config, tiny_folder, tmp_path):
    """The loss is the mean over the label tokens of the step, however it is cut."""
    config.lora.dropout = 0.0
    losses = []
    for size in (1, 2, 4):
        config.trainer.micro_batch_size = size
        run(config, tiny_folder, tmp_path / str(size))
        losses.append([line["loss"] for line in steps(tmp_path / str(size))])
    for other in losses[1:]:
        assert other == pytest.approx(losses[0], rel=2e-4)


def test_validation_in_between_changes_nothing(config, tiny_folder, tmp_path):
    def without_validation():
        return (p for p in pairs() if p.split == "train")

    run(config, tiny_folder, tmp_path / "with")
    run(config, tiny_folder, tmp_path / "without", source=without_validation)
    one, two = steps(tmp_path / "with"), steps(tmp_path / "without")
    assert [line["loss"] for line in one] == [line["loss"] for line in two]


def test_best_and_last(config, tiny_folder, tmp_path):
    chosen = {}
    for word in ("best", "last"):
        config.callbacks.adapter_from = AdapterFrom(word)
        chosen[word] = run(copy.deepcopy(config), tiny_folder, tmp_path / word)[0].checkpoint.name
    assert chosen == {"best": BEST, "last": LAST}


def test_a_run_that_ends_inside_an_epoch_is_validated_too(config, tiny_folder, tmp_path):
    config.trainer.max_steps = 2
    result, _model, _tokenizer = run(config, tiny_folder, tmp_path)
    assert result.num_steps == 2
    assert result.validation_loss > 0


def fit_broken(config, tiny_folder, tmp_path, break_it):
    prepare_process(0, 1)
    loaded = load(tiny_folder, config.model, config.quantization, "cpu")
    model = attach_adapter(loaded.model, config.lora)
    break_it(model)
    samples = build_samples(pairs(), loaded.tokenizer, 128, Ledger())
    fit(config, model, loaded.tokenizer, samples, tmp_path, Tracker(None))


def test_nan_names_the_samples_and_how_to_see_them(config, tiny_folder, tmp_path, monkeypatch):
    """One sample of the step is NaN: that one is named."""
    from evqa.training import module as training_module

    real = training_module.batch_loss

    def poisoned(model, batch, tile):
        loss = real(model, batch, tile)
        if "p9" in batch["sample_ids"]:
            loss.by_sample[batch["sample_ids"].index("p9")] = float("nan")
            object.__setattr__(loss, "total", loss.total * float("nan"))
        return loss

    monkeypatch.setattr(training_module, "batch_loss", poisoned)
    with pytest.raises(
        UserError, match=r"loss is NaN at step \d+ \(samples p9\); lower optimizer.lr"
    ):
        fit_broken(config, tiny_folder, tmp_path, lambda model: None)
    incident = json.loads((tmp_path / "incidents.jsonl").read_text())
    assert incident["kind"] == "nan"
    assert incident["worst_samples"][0] == "p9"
    assert f"run={tmp_path} step={incident['step']}" in incident["command"]


@pytest.mark.parametrize("where", ["lora_A", "norm", "q_proj.base_layer"])
def test_a_nan_in_a_weight_is_named(config, tiny_folder, tmp_path, where):
    def break_it(model):
        parameter = next(p for name, p in model.named_parameters() if where in name)
        state = getattr(parameter, "quant_state", None)
        values = state.state2.absmax if state is not None else parameter.data
        values[0] = float("nan")

    with pytest.raises(UserError, match=f"because a weight is: .*{where}.*get its files again"):
        fit_broken(config, tiny_folder, tmp_path, break_it)


def test_gradient_checkpointing_gives_the_same_losses(config, tiny_folder, tmp_path):
    config.lora.dropout = 0.0
    for word in (True, False):
        config.memory.gradient_checkpointing = word
        run(config, tiny_folder, tmp_path / str(word))
    one, two = steps(tmp_path / "True"), steps(tmp_path / "False")
    assert [x["loss"] for x in one] == pytest.approx([x["loss"] for x in two], rel=1e-4)


@pytest.mark.filterwarnings("ignore:Paged optimizers are not supported on CPU")
@pytest.mark.parametrize("option", ["adamw8bit", "paged_adamw8bit", "lion8bit"])
def test_every_optimizer_trains(config, tiny_folder, tmp_path, option):
    from evqa.config import load_config

    lr = 1e-2 if "adam" in option else 1e-3
    config.optimizer = load_config(
        "train", [f"optimizer={option}", f"optimizer.lr={lr}"]
    ).optimizer
    config.trainer.num_epochs = 2
    run(config, tiny_folder, tmp_path)
    lines = steps(tmp_path)
    assert lines[-1]["loss"] < lines[0]["loss"]


@pytest.mark.parametrize("kind", ["cosine", "linear", "constant"])
def test_schedules(config, tiny_folder, tmp_path, kind):
    from evqa.config.training import Schedule

    config.lr_scheduler.kind = Schedule(kind)
    config.lr_scheduler.warmup_fraction = 0.2
    run(config, tiny_folder, tmp_path)
    rates = [line["lr"] for line in steps(tmp_path)]
    assert rates[2] == pytest.approx(config.optimizer.lr)
    assert rates[0] < rates[1] < rates[2]
    assert rates[-1] == pytest.approx(config.optimizer.lr if kind == "constant" else 0, abs=1e-3)
