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
from evqa.config.training import AdapterFrom
from evqa.data.dataset import build_samples
from evqa.errors import InterruptedRunError, UserError
from evqa.ledger import Ledger
from evqa.models.base import load
from evqa.models.load import attach_adapter
from evqa.records import QAPair
from evqa.tracking import Tracker
from evqa.training.callbacks import FlightRecorder
from evqa.training.fit import BEST, LAST, fit
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
    assert sorted(p.name for p in folder.iterdir()) == ["adapter", "checkpoints", "steps.jsonl"]
    assert result.num_steps == 15
    assert result.validation_loss > 0
    assert set(lines[0]) == {
        "step", "epoch", "loss", "gradient_norm", "lr", "label_tokens_per_s", "memory_gib",
        "sample_ids",
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


def test_nan_names_the_samples(config, tiny_folder, tmp_path):
    config.optimizer.lr = 9.0
    config.trainer.gradient_clip_norm = 0.0

    def poisoned(model):
        next(p for p in model.parameters() if p.requires_grad).data.fill_(float("nan"))

    prepare_process(0, 1)
    loaded = load(tiny_folder, config.model, config.quantization, "cpu")
    model = attach_adapter(loaded.model, config.lora)
    poisoned(model)
    samples = build_samples(pairs(), loaded.tokenizer, 128, Ledger())
    with pytest.raises(UserError, match=r"loss is NaN at step 0 \(samples p.*optimizer.lr=9"):
        fit(config, model, loaded.tokenizer, samples, tmp_path, Tracker(None))


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
