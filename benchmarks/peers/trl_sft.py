"""One training with TRL's SFTTrainer, for benchmarks/training_speed.py; runs in TRL's own venv.

usage: python trl_sft.py ASSETS ADAPTER_OUT '{"packing": true, "checkpointing": true, …}'

Prints one JSON line. CPU-seconds and tokens are taken around each optimiser step, on the tensors
that the model sees.
"""

import json
import os
import statistics
import sys
import threading
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import psutil
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, TrainerCallback
from trl import SFTConfig, SFTTrainer

WARM_UP_STEPS = 3
SAMPLE_S = 0.02


class PeakMemory(threading.Thread):
    """Samples the resident memory while a training runs."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0
        self.running = True

    def run(self) -> None:
        """Sample until told to stop."""
        process = psutil.Process()
        while self.running:
            self.peak = max(self.peak, process.memory_info().rss)
            time.sleep(SAMPLE_S)


def quantised(folder: Path) -> Any:
    """Return the base in NF4 with double quantisation, computing in bf16."""
    nf4 = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.bfloat16, quantization_config=nf4, device_map={"": "cpu"}
    )
    model.config.use_cache = False
    return model


def settings(given: dict[str, Any], out: Path) -> SFTConfig:
    """Return TRL's arguments."""
    more: dict[str, Any] = {}
    if given.get("group_by_length"):
        more["train_sampling_strategy"] = "group_by_length"
    padding_free = bool(given.get("padding_free"))
    return SFTConfig(
        output_dir=str(out / "trainer"),
        per_device_train_batch_size=8,
        num_train_epochs=1,
        learning_rate=given["lr"],
        lr_scheduler_type="constant",
        max_length=None if padding_free else 512,
        packing=bool(given.get("packing")),
        padding_free=padding_free,
        assistant_only_loss=True,
        gradient_checkpointing=bool(given["checkpointing"]),
        gradient_checkpointing_kwargs={"use_reentrant": False},
        bf16=True,
        use_cpu=True,
        max_grad_norm=1.0,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        seed=0,
        dataloader_pin_memory=False,
        **more,
    )


def main() -> None:
    """Train, save the adapter, print the figures."""
    assets, out, given = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
    torch.set_num_threads(given["threads"])
    steps: list[tuple[float, float, int, int]] = []
    seen = {"real": 0, "label": 0}

    class Meter(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self.at = (time.perf_counter(), time.process_time(), dict(seen))

        def on_step_end(self, *_: Any, **__: Any) -> None:
            wall, cpu, before = self.at
            steps.append(
                (
                    time.perf_counter() - wall,
                    time.process_time() - cpu,
                    seen["real"] - before["real"],
                    seen["label"] - before["label"],
                )
            )

    class Counting(SFTTrainer):
        def training_step(self, model: Any, inputs: Any, *rest: Any, **named: Any) -> Any:
            mask = inputs.get("attention_mask")
            seen["real"] += int(mask.sum()) if mask is not None else inputs["input_ids"].numel()
            seen["label"] += int((inputs["labels"] != -100).sum())
            return super().training_step(model, inputs, *rest, **named)

    rows = [json.loads(line) for line in (assets / "train.jsonl").read_text().splitlines()]
    trainer = Counting(
        model=quantised(assets / "model"),
        args=settings(given, out),
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(assets / "model"),
        peft_config=LoraConfig(
            r=16, lora_alpha=32, lora_dropout=0.0, target_modules="all-linear",
            task_type="CAUSAL_LM",
        ),
        callbacks=[Meter()],
    )  # fmt: skip
    memory = PeakMemory()
    memory.start()
    trainer.train()
    memory.running = False
    trainer.model.save_pretrained(out / "adapter")
    used = steps[WARM_UP_STEPS:]
    sys.stdout.write(
        json.dumps(
            {
                "real_tokens_per_cpu_s": sum(s[2] for s in used) / sum(s[1] for s in used),
                "real_tokens_per_s": sum(s[2] for s in used) / sum(s[0] for s in used),
                "median_step_ms": 1000 * statistics.median(s[0] for s in used),
                "peak_rss_gib": memory.peak / 2**30,
                "num_steps": len(steps),
                "label_tokens": sum(s[3] for s in steps),
            }
        )
        + "\n"
    )
    sys.stdout.flush()
    os._exit(0)  # some trainings hang in the interpreter's end


if __name__ == "__main__":
    main()
