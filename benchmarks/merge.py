"""How much memory does a merge take? A model of Llama-3.2-1B's shape tells.

usage: python benchmarks/merge.py [--model llama3_2_1b] [--folder FOLDER]

Writes a random base in bf16 (one shard), a random LoRA adapter (r=16, all linear layers), merges
them in a process of its own, into the original and into the NF4 weights, and quantises the result.
The promise: peak resident memory at most 1.6 x the largest shard + 1 GiB. Takes about 8 GiB of
disk, freed at the end. Writes benchmarks/results/merge.json, stamped with the commit.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from evqa.architectures import Architecture
from evqa.config import load_config, project_dir
from evqa.files import write_json
from evqa.provenance import git_commit, instruction_sets

GIB = 2**30
END = "</s>"
STEPS = ("imports", "merge original", "merge trained (NF4)", "quantise w4a16")


def build(model: str, folder: Path) -> None:
    """Write base and adapter in the shape of a model preset, tensor by tensor."""
    import torch
    from peft import LoraConfig, get_peft_model
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM, LlamaConfig

    from evqa.export.checkpoint import PlannedTensor, write_checkpoint

    shape = load_config("train", [f"model={model}"]).model.architecture
    numbers = Architecture.from_config(shape).transformers_values()
    config = LlamaConfig(**numbers, dtype="bfloat16")
    with torch.device("meta"):
        empty = AutoModelForCausalLM.from_config(config)
    names = {n: t for n, t in empty.state_dict().items() if n != "lm_head.weight"}
    base = folder / "base"
    config.save_pretrained(base)
    (base / "tokenizer.json").write_text("{}")

    def random(shape: tuple[int, ...]) -> Any:
        return torch.randn(shape, dtype=torch.bfloat16) * 0.02

    planned = [
        PlannedTensor(
            name=name,
            shape=tuple(t.shape),
            dtype=torch.bfloat16,
            make=partial(random, tuple(t.shape)),
        )
        for name, t in names.items()
    ]
    write_checkpoint(base, planned, 100 * GIB)
    with torch.device("meta"):
        peft = get_peft_model(empty, LoraConfig(r=16, target_modules="all-linear"))
    state = {
        name.replace(".default", ""): torch.randn(tuple(t.shape)) * 0.02
        for name, t in peft.state_dict().items()
        if "lora_" in name
    }
    peft.peft_config["default"].save_pretrained(folder / "adapter")
    save_file(state, folder / "adapter" / "adapter_model.safetensors", metadata={"format": "pt"})


def tokenizer_beside(adapter: Path) -> None:
    """Give the adapter a small tokenizer with a chat template, as training leaves one."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    fast = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.BPE()),
        eos_token=END,
        pad_token=END,
    )
    fast.chat_template = "{{ messages[0].content }}"
    fast.save_pretrained(adapter)


def step(name: str, folder: Path) -> dict[str, float]:
    """Do one step and return its time and this process's peak resident memory."""
    from evqa.config.model import QuantizationConfig
    from evqa.config.serving import ExportQuantization
    from evqa.export.merge import merge_adapter
    from evqa.export.quantize import quantize_checkpoint

    start = time.monotonic()
    output = folder / name.split()[1 if " " in name else 0]
    output.mkdir(exist_ok=True)
    nf4 = QuantizationConfig() if "NF4" in name else None
    if name.startswith("merge"):
        merge_adapter(str(folder / "base"), folder / "adapter", output, "bf16", 4.0, nf4)
    elif name.startswith("quantise"):
        quantize_checkpoint(folder / "trained", output, ExportQuantization.w4a16, 4.0)
    return {
        "peak_gib": round(peak_kib() * 1024 / GIB, 3),
        "seconds": round(time.monotonic() - start, 1),
    }


def peak_kib() -> int:
    """Return this process's peak resident memory (getrusage would tell its parent's too)."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0])


def measure(model: str, folder: Path) -> dict[str, Any]:
    """Run every step in a process of its own; return the figures beside the promise."""
    build(model, folder)
    tokenizer_beside(folder / "adapter")
    shard = max(p.stat().st_size for p in (folder / "base").glob("*.safetensors")) / GIB
    steps = {}
    for name in STEPS:
        command = [sys.executable, __file__, "--step", name, "--folder", str(folder)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
        steps[name] = json.loads(done.stdout.splitlines()[-1])
        sys.stdout.write(f"{name:<22}{steps[name]}\n")
    return {
        "model": model,
        "largest_shard_gib": round(shard, 3),
        "promised_peak_gib": round(1.6 * shard + 1, 3),
        "steps": steps,
        "git_commit": git_commit(project_dir()),
        "instruction_sets": instruction_sets(),
    }


def main() -> None:
    """Measure, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="llama3_2_1b")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--step", choices=STEPS)
    options = parser.parse_args()
    if options.step:
        sys.stdout.write(json.dumps(step(options.step, options.folder)) + "\n")
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        result = measure(options.model, Path(folder))
    write_json(project_dir() / "benchmarks" / "results" / "merge.json", result)
    held = max(s["peak_gib"] for s in result["steps"].values()) <= result["promised_peak_gib"]
    sys.stdout.write(f"promise held: {held} ({result['promised_peak_gib']} GiB)\n")


if __name__ == "__main__":
    main()
