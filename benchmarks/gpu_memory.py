"""Memory and speed of QLoRA steps by technique on one CUDA machine, with random weights.

usage: python benchmarks/gpu_memory.py [--models llama3_1_8b,mistral_7b] [--cap-gib 6]
       python benchmarks/gpu_memory.py --device cpu --models tiny --steps 2    (logic, no GPU)

Builds models of the true shapes in NF4 matrix by matrix (no weights are needed, and the largest
16-bit transient is one matrix), caps the allocator, and makes steps with evqa's own loss,
checkpointing and optimisers; each technique in a process of its own. Reported are the allocator's
peak, the planner's prediction, tokens a second, and the share of the floor that the card's peak
arithmetic sets. Writes benchmarks/results/gpu_memory.json, stamped with the commit; on a CPU
gpu_memory_cpu.json, whose figures say nothing about a GPU.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from evqa.config import TrainConfig, load_config, project_dir
from evqa.files import write_json
from evqa.progress import progress
from evqa.provenance import git_commit

GIB = 2**30
BASE = ["lora=r16", "trainer.micro_batch_size=1", "trainer.effective_batch_size=16", "logger=none"]
BEST = [
    "memory=6gib", "quantization.head=true", "lora.dtype=bf16", "lora.dropout=0",
    "optimizer=paged_adamw8bit",
]  # fmt: skip
TECHNIQUES: dict[str, list[str]] = {
    "plain": ["memory=24gib", "lora.dropout=0"],
    "bf16 adapter": ["memory=24gib", "lora.dropout=0", "lora.dtype=bf16"],
    "8-bit optimiser": ["memory=24gib", "lora.dropout=0", "optimizer=adamw8bit"],
    "embedding on the CPU": ["memory=24gib", "lora.dropout=0", "memory.embedding_on_cpu=true"],
    "head in NF4": ["memory=24gib", "lora.dropout=0", "quantization.head=true"],
    "checkpoints offloaded": ["memory=24gib", "lora.dropout=0", "memory.offload_checkpoints=true"],
    "half the layers checkpointed": [
        "memory=24gib", "lora.dropout=0", "memory.checkpointed_share=0.5"
    ],
    "all": BEST,
}  # fmt: skip
WARM_UP_STEPS = 3


def random_model(config: TrainConfig, device: Any) -> Any:
    """Return a random model of the config's shape, its projections in NF4, on the device."""
    import torch
    from bitsandbytes.nn import Linear4bit, Params4bit
    from torch import nn
    from transformers import AutoConfig, AutoModelForCausalLM

    from evqa.architectures import Architecture

    shape = Architecture.from_config(config.model.architecture)
    own = AutoConfig.for_model(
        str(shape.family),
        **{**shape.transformers_values(), "max_position_embeddings": 8192},
        use_cache=False,
        pad_token_id=0,
    )
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(own, attn_implementation="sdpa", dtype=dtype)

    def drawn(*size: int) -> Any:
        return torch.randn(*size, device=device, dtype=dtype).mul_(0.02)

    for name, module in list(model.named_modules()):
        if not isinstance(module, nn.Linear) or name == "lm_head":
            continue
        bias = module.bias is not None
        layer = Linear4bit(
            module.in_features, module.out_features, bias=bias, compute_dtype=dtype,
            compress_statistics=config.quantization.double_quant, quant_type="nf4", device="meta",
        )  # fmt: skip
        values = drawn(module.out_features, module.in_features)
        layer.weight = Params4bit(
            values, requires_grad=False, quant_type="nf4",
            compress_statistics=config.quantization.double_quant,
        )._quantize(device)  # fmt: skip
        layer.support_avx512bf16_for_cpu = False
        if bias:
            layer.bias = nn.Parameter(drawn(module.out_features), requires_grad=False)
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, layer)
    for name, parameter in list(model.named_parameters()):
        if parameter.is_meta:
            parent, _, leaf = name.rpartition(".")
            fill = torch.ones if "norm" in name else None
            size = parameter.shape
            values = fill(size, device=device, dtype=dtype) if fill else drawn(*size)
            setattr(model.get_submodule(parent), leaf, nn.Parameter(values, requires_grad=False))
    if shape.tie_word_embeddings:
        model.tie_weights()
    with torch.device(device):
        decoder = model.get_decoder()
        decoder.rotary_emb = type(decoder.rotary_emb)(config=own)
    model.is_loaded_in_4bit = True  # peft looks at it to choose its layers
    return model.requires_grad_(False)


def measure(
    words: list[str], device_name: str, steps: int, cap_gib: float | None
) -> dict[str, Any]:
    """Make steps in this process and return peak, prediction and speed."""
    import torch

    from evqa.architectures import Architecture
    from evqa.memory.planner import plan_training
    from evqa.models.attention import attention_within_samples
    from evqa.models.head import save_vocabulary_memory
    from evqa.models.load import attach_adapter
    from evqa.training.checkpointing import apply_checkpointing
    from evqa.training.optim import build_optimizer

    config = load_config("train", words)
    assert isinstance(config, TrainConfig)
    device = torch.device(device_name)
    is_gpu = device.type == "cuda"
    if is_gpu and cap_gib:
        total = torch.cuda.get_device_properties(0).total_memory
        share = (cap_gib - config.memory.context_gib) * GIB / total
        torch.cuda.set_per_process_memory_fraction(min(1.0, share))
    torch.manual_seed(0)
    base = random_model(config, device)
    if config.quantization.head or config.memory.embedding_on_cpu:
        save_vocabulary_memory(
            base, head=config.quantization.head, embedding=config.memory.embedding_on_cpu,
            tile_tokens=config.memory.vocabulary_tile_tokens,
            double_quant=config.quantization.double_quant,
        )  # fmt: skip
    model = (
        attach_adapter(base, config.lora).to(device)
        if is_gpu
        else attach_adapter(base, config.lora)
    )
    model.train()
    apply_checkpointing(model.get_base_model(), config.memory)
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    optimizer = build_optimizer(config.optimizer, trained)
    shape = Architecture.from_config(config.model.architecture)
    batch = random_batch(config, shape.vocab_size, device)
    if is_gpu:
        torch.cuda.reset_peak_memory_stats()
    with attention_within_samples(model.get_base_model()):
        seconds = [one_step(model, batch, optimizer, config, device) for _ in range(steps)]
    used = seconds[WARM_UP_STEPS:] or seconds
    tokens = batch["input_ids"].numel()
    plan = plan_training(config, shape)
    predicted = plan.peak_gib - plan.static["cuda_context"] / GIB
    peak = torch.cuda.max_memory_reserved() / GIB if is_gpu else None
    rate = tokens * len(used) / sum(used)
    gflop = gflop_per_token(shape, config)
    return {
        "peak_reserved_gib": peak,
        "predicted_gib": predicted,
        "error": None if peak is None else predicted / peak - 1,
        "tokens_per_s": rate,
        "gflop_per_token": gflop,
        "achieved_tflop_per_s": rate * gflop / 1000,  # over the card's peak: share of the floor
        "tokens_a_step": tokens,
    }


def one_step(model: Any, batch: Any, optimizer: Any, config: TrainConfig, device: Any) -> float:
    """Make one step, return its seconds."""
    import torch

    from evqa.training.losses import batch_loss

    is_gpu = device.type == "cuda"
    needs_cast = is_gpu and config.lora.dtype == "fp32"
    if is_gpu:
        torch.cuda.synchronize()
    started = time.perf_counter()
    with torch.autocast(device.type, torch.bfloat16, enabled=needs_cast):
        tile = config.memory.vocabulary_tile_tokens
        loss = batch_loss(model.get_base_model(), batch, tile)
    (loss.total / loss.num_label_tokens).backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    if is_gpu:
        torch.cuda.synchronize()
    return time.perf_counter() - started


def random_batch(config: TrainConfig, vocab_size: int, device: Any) -> dict[str, Any]:
    """Return samples end to end that fill the micro-batch; the last 60 % of each are labels."""
    import torch

    from evqa.data.collate import concatenated
    from evqa.memory.planner import LABEL_SHARE

    length = config.model.max_length_tokens
    rows = []
    for number in range(config.trainer.micro_batch_size):
        ids = torch.randint(1, vocab_size, (length,)).tolist()
        prompt = length - int(LABEL_SHARE * length)
        rows.append(
            {"id": str(number), "input_ids": ids, "labels": [-100] * prompt + ids[prompt:]}
        )
    batch = concatenated(rows)
    return {k: v.to(device) if hasattr(v, "to") else v for k, v in batch.items()}


def gflop_per_token(shape: Any, config: TrainConfig) -> float:
    """Return the least arithmetic of a token: forward, input gradients, recomputing."""
    passes = 2 + config.memory.num_checkpointed(shape.num_layers) / shape.num_layers
    linear = 2 * shape.num_linear_parameters * passes
    head = 4 * shape.num_embedding_parameters * 0.6
    query = shape.num_attention_heads * shape.head_dim
    attention = shape.num_layers * 2 * config.model.max_length_tokens * query * (passes + 1.5)
    return float(linear + head + attention) / 1e9


def run_all(options: argparse.Namespace) -> dict[str, Any]:
    """Measure every technique of every model, each in a process of its own."""
    cases = [(m, t) for m in options.models.split(",") for t in TECHNIQUES]
    rows: dict[str, Any] = {}
    with progress("measuring", len(cases)) as bar:
        for model, technique in cases:
            words = [f"model={model}", *BASE, *TECHNIQUES[technique], *options.words]
            rows[f"{model}: {technique}"] = child(words, options)
            bar.add(1, f"{model}: {technique}")
    return rows


def child(words: list[str], options: argparse.Namespace) -> dict[str, Any]:
    """Measure in a process of its own; running out of memory is a result."""
    command = [
        sys.executable, str(Path(__file__).resolve()), "--device", options.device,
        "--steps", str(options.steps), "--one", json.dumps(words),
    ]  # fmt: skip
    if options.cap_gib:
        command += ["--cap-gib", str(options.cap_gib)]
    done = subprocess.run(  # noqa: S603
        command, cwd=project_dir(), capture_output=True, text=True, check=False
    )
    if done.returncode == 3:
        return {"out_of_memory": True}
    if done.returncode:
        raise SystemExit(f"{words}: {done.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def main() -> None:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default="llama3_1_8b,mistral_7b,llama3_2_3b,qwen2_5_7b")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--cap-gib", type=float)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("words", nargs="*", help="more overrides")
    options = parser.parse_args()
    if options.one:
        import torch

        try:
            figures = measure(
                json.loads(options.one), options.device, options.steps, options.cap_gib
            )
        except torch.OutOfMemoryError:
            sys.exit(3)
        sys.stdout.write(json.dumps(figures) + "\n")
        return
    rows = run_all(options)
    name = "gpu_memory.json" if options.device == "cuda" else "gpu_memory_cpu.json"
    result = {
        "device": options.device,
        "note": None if options.device == "cuda" else "logic only: a CPU says nothing of a GPU",
        "rows": rows,
        "git_commit": git_commit(project_dir()),
    }
    write_json(project_dir() / "benchmarks" / "results" / name, result)
    sys.stdout.write(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
