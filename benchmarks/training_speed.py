"""Training speed against TRL on the CPU: the same model, chats, label tokens and checkpointing.

usage: python benchmarks/training_speed.py --peer-python PEERS/bin/python [--chats 240]

TRL (1.16, with the same transformers, peft and bitsandbytes) lives in an environment of its own.
Everything runs one after the other, a process each, and CPU-seconds are compared: they hardly
depend on what else the machine does. Validation loss is taken of every saved adapter by the same
code, with plain peft. Writes benchmarks/results/training_speed.json, stamped with the commit.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from evqa.config import project_dir
from evqa.files import write_json
from evqa.progress import progress
from evqa.provenance import git_commit, instruction_sets

LR = 2e-3
WARM_UP_STEPS = 3
SAMPLE_S = 0.02
PEERS: dict[str, dict[str, Any]] = {
    "trl padded": {"checkpointing": True},
    "trl group_by_length": {"checkpointing": True, "group_by_length": True},
    "trl padding_free": {"checkpointing": True, "padding_free": True},
    "trl packing": {"checkpointing": True, "packing": True},
    "trl group_by_length, no checkpointing": {"checkpointing": False, "group_by_length": True},
    "trl padding_free, no checkpointing": {"checkpointing": False, "padding_free": True},
    "trl packing, no checkpointing": {"checkpointing": False, "packing": True},
}
OURS = {
    "evqa": ["memory.gradient_checkpointing=true"],
    "evqa, no checkpointing": ["memory.gradient_checkpointing=false"],
}


def own_words(assets: Path, more: list[str]) -> list[str]:
    """Return the overrides of our side."""
    return [
        "model=smollm2_135m", f"model.path={assets}/model", "model.dtype=bf16",
        "model.system_prompt=''", "model.max_length_tokens=512", "lora=r16", "lora.dropout=0",
        "lora.dtype=bf16", f"optimizer.lr={LR}", "lr_scheduler=constant",
        "lr_scheduler.warmup_fraction=0", "trainer=cpu", "trainer.micro_batch_size=8",
        "trainer.effective_batch_size=8", "trainer.num_epochs=1", "callbacks.progress_bar=false",
        "logger=none", *more,
    ]  # fmt: skip


def train_own(assets: Path, out: Path, threads: int, more: list[str]) -> dict[str, Any]:
    """Train with evqa in this process and return the figures."""
    import psutil
    import torch

    from evqa.config import TrainConfig, load_config
    from evqa.data.dataset import Samples
    from evqa.models.base import load
    from evqa.models.load import attach_adapter
    from evqa.tracking import Tracker
    from evqa.training.fit import fit
    from evqa.training.run import prepare_process

    config = load_config("train", own_words(assets, more))
    assert isinstance(config, TrainConfig)
    prepare_process(0, threads)
    base = load(assets / "model", config.model, config.quantization, "cpu", config.memory)
    torch.manual_seed(0)
    model = attach_adapter(base.model, config.lora)
    samples = Samples(store(assets / "train.jsonl", base.tokenizer), store(None, base.tokenizer))
    meter = meter_callback()
    peak = [0]
    running = [True]

    def sample() -> None:
        process = psutil.Process()
        while running[0]:
            peak[0] = max(peak[0], process.memory_info().rss)
            time.sleep(SAMPLE_S)

    threading.Thread(target=sample, daemon=True).start()
    out.mkdir(parents=True)
    fit(
        config, model, base.tokenizer, samples, out, Tracker(None), extra_callbacks=(meter,)
    )  # fmt: skip
    running[0] = False
    used = meter.steps[WARM_UP_STEPS:]
    return {
        "real_tokens_per_cpu_s": sum(s[2] for s in used) / sum(s[1] for s in used),
        "real_tokens_per_s": sum(s[2] for s in used) / sum(s[0] for s in used),
        "median_step_ms": 1000 * statistics.median(s[0] for s in used),
        "peak_rss_gib": peak[0] / 2**30,
        "num_steps": len(meter.steps),
        "label_tokens": sum(s[3] for s in meter.steps),
    }


def meter_callback() -> Any:
    """Return a callback that takes time and tokens around each optimiser step."""
    from lightning.pytorch.callbacks import Callback

    class Meter(Callback):
        def __init__(self) -> None:
            self.steps: list[tuple[float, float, int, int]] = []

        def on_train_batch_start(self, *_: Any) -> None:
            self.at = (time.perf_counter(), time.process_time())

        def on_train_batch_end(self, _trainer: Any, module: Any, *_: Any) -> None:
            wall, cpu = self.at
            tally = module.tally
            self.steps.append(
                (
                    time.perf_counter() - wall,
                    time.process_time() - cpu,
                    tally.num_tokens,
                    tally.num_label_tokens,
                )
            )

    return Meter()


def store(file: Path | None, tokenizer: Any) -> Any:
    """Return the chats of a file as a tokenised store; an empty one for None."""
    from datasets import Dataset

    from evqa.models.chat import labelled_ids

    lines = file.read_text(encoding="utf-8").splitlines() if file else []
    columns: dict[str, list[Any]] = {
        name: [] for name in ("id", "input_ids", "labels", "num_tokens", "num_label_tokens")
    }
    for number, line in enumerate(lines):
        sample = labelled_ids(tokenizer, json.loads(line)["messages"])
        row = (str(number), sample.input_ids, sample.labels, len(sample.input_ids),
               sample.num_label_tokens)  # fmt: skip
        for name, value in zip(columns, row, strict=True):
            columns[name].append(value)
    return Dataset.from_dict(columns)


def validation_loss(assets: Path, adapter: Path) -> float:
    """Return an adapter's mean loss on the held-back chats (nats a token), by plain peft."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

    from evqa.models.load import guard_cpu_packing

    nf4 = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )  # fmt: skip
    base = AutoModelForCausalLM.from_pretrained(
        assets / "model", dtype=torch.bfloat16, quantization_config=nf4, device_map={"": "cpu"}
    )
    model = PeftModel.from_pretrained(base, adapter).eval()
    guard_cpu_packing(model)
    tokenizer = AutoTokenizer.from_pretrained(assets / "model")
    rows = store(assets / "eval.jsonl", tokenizer)
    total, count = 0.0, 0
    with torch.no_grad():
        for row in rows:
            ids = torch.tensor([row["input_ids"]])
            labels = torch.tensor([row["labels"]])
            loss = model(input_ids=ids, labels=labels).loss.item()
            total += loss * row["num_label_tokens"]
            count += row["num_label_tokens"]
    return total / count


def run_child(command: list[str], threads: int) -> dict[str, Any]:
    """Run one training in a process of its own and return the JSON of its last line."""
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": str(threads),
        "GOMP_SPINCOUNT": "0",
        "OMP_WAIT_POLICY": "passive",
    }
    done = subprocess.run(  # noqa: S603
        command, cwd=project_dir(), capture_output=True, text=True, check=False, env=environment
    )
    if done.returncode:
        raise SystemExit(f"{command[:3]} failed:\n{done.stderr[-3000:]}")
    figures: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return figures


def measure(place: Path, peer_python: str, threads: int, num_chats: int) -> dict[str, Any]:
    """Run both sides and return all figures by name."""
    import chats  # beside this file

    assets = place / "assets"
    chats.build(assets, num_chats, max(16, num_chats // 8))
    script = Path(__file__).resolve()
    rows: dict[str, Any] = {}
    names = [*OURS, *PEERS]
    with progress("training", len(names)) as bar:
        for number, name in enumerate(names):
            out = place / str(number)
            if name in OURS:
                words = json.dumps([str(assets), str(out), threads, OURS[name]])
                command = [sys.executable, str(script), "--own", words]
            else:
                given = json.dumps({**PEERS[name], "lr": LR, "threads": threads})
                peer = str(script.parent / "peers" / "trl_sft.py")
                command = [peer_python, peer, str(assets), str(out), given]
            rows[name] = run_child(command, threads)
            rows[name]["validation_loss"] = validation_loss(assets, out / "adapter")
            bar.add(1, name)
    return rows


def verdict(rows: dict[str, Any]) -> dict[str, Any]:
    """Return the ratios that are promised."""

    def rate(name: str) -> float:
        return float(rows[name]["real_tokens_per_cpu_s"])

    with_checkpoints = [n for n in PEERS if PEERS[n]["checkpointing"]]
    without = [n for n in PEERS if not PEERS[n]["checkpointing"]]
    best = max(with_checkpoints, key=rate)
    best_without = max(without, key=rate)
    ours, plain = rows["evqa"], rows["trl padded"]
    return {
        "over_trl_padded": rate("evqa") / rate("trl padded"),
        "over_trl_packing": rate("evqa") / rate("trl packing"),
        "over_best_trl": rate("evqa") / rate(best),
        "best_trl": best,
        "over_best_trl_without_checkpointing": rate("evqa, no checkpointing") / rate(best_without),
        "best_trl_without_checkpointing": best_without,
        "validation_loss_difference": ours["validation_loss"] / plain["validation_loss"] - 1,
        "rss_over_lowest_trl": ours["peak_rss_gib"]
        / min(rows[n]["peak_rss_gib"] for n in with_checkpoints),
        "label_tokens_equal": ours["label_tokens"] == plain["label_tokens"],
    }


def main() -> None:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", help="python of the environment with trl")
    parser.add_argument("--chats", type=int, default=240)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--own", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.own:
        assets, out, threads, more = json.loads(options.own)
        figures = train_own(Path(assets), Path(out), threads, more)
        sys.stdout.write(json.dumps(figures) + "\n")
        return
    if not options.peer_python:
        parser.error("--peer-python: the python of an environment with trl, e.g. peers/bin/python")
    with tempfile.TemporaryDirectory() as place:
        rows = measure(Path(place), options.peer_python, options.threads, options.chats)
    result = {
        "rows": rows,
        "verdict": verdict(rows),
        "chats": options.chats,
        "threads": options.threads,
        "instruction_sets": instruction_sets(),
        "git_commit": git_commit(project_dir()),
    }
    write_json(project_dir() / "benchmarks" / "results" / "training_speed.json", result)
    sys.stdout.write(json.dumps(result["verdict"], indent=2) + "\n")


if __name__ == "__main__":
    main()
