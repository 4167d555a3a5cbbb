# ruff: noqa: E501  the lines of a table
"""Write docs/how-to/recipes-6gb.md: what each model needs to train in 6 GB, by the planner.

usage: python benchmarks/recipes.py
"""

import sys
from dataclasses import dataclass
from typing import Any

from evqa.architectures import Architecture
from evqa.config import TrainConfig, load_config, project_dir
from evqa.files import write_text
from evqa.memory.budget import fitting_changes, plain_recipe, settle_micro_batch
from evqa.memory.planner import GIB, plan_training

MODELS = (
    "smollm2_135m", "qwen2_5_0_5b", "llama3_2_1b", "qwen2_5_1_5b", "llama3_2_3b", "qwen2_5_3b",
    "mistral_7b", "qwen2_5_7b", "llama3_1_8b",
)  # fmt: skip
LENGTH = "model.max_length_tokens=1024"
COMMON = ["memory=6gib", "trainer=gpu", "lora=r16", LENGTH, "trainer.micro_batch_size=0"]
FILE = "docs/how-to/recipes-6gb.md"


@dataclass(frozen=True, slots=True)
class Recipe:
    """One row of the table."""

    model: str
    options: str
    micro_batch: int
    peak_gib: float
    usual_gib: float
    host_gib: float


def planned(words: list[str]) -> tuple[TrainConfig, Architecture]:
    """Return a config with its micro-batch settled, and its model's numbers."""
    config = load_config("train", words)
    assert isinstance(config, TrainConfig)
    shape = Architecture.from_config(config.model.architecture)
    settle_micro_batch(config, shape)
    return config, shape


def recipe(model: str) -> Recipe:
    """Return the least costly options with which a model fits, as the planner ranks them."""
    words = [f"model={model}", *COMMON]
    config, shape = planned(words)
    options: list[str] = []
    if not plan_training(config, shape).fits:
        options = fitting_changes(config, shape)[0]["override"].split()
        config, shape = planned([*words, *options])
    plan = plan_training(config, shape)
    one = planned([*words[:-1], "trainer.micro_batch_size=1", *options])[0]
    return Recipe(
        model,
        " ".join(options),
        config.trainer.micro_batch_size,
        plan.peak_gib,
        plain_recipe(one, shape).peak_gib,
        sum(plan.host.values()) / GIB,
    )


def page(recipes: list[Recipe]) -> str:
    """Return the whole page."""
    rows = [
        f"| {r.model} | `{r.options or '(nothing more)'}` | {r.micro_batch} | {r.peak_gib:.2f} | "
        f"{r.usual_gib:.2f} | {r.host_gib:.1f} |"
        for r in recipes
    ]
    largest = next(r for r in recipes if r.model == "llama3_1_8b")
    command = f"python train.py model=llama3_1_8b memory=6gib lora=r16 {largest.options}"
    return TEXT.format(rows="\n".join(rows), command=f"{command} trainer.micro_batch_size=0")


TEXT = """\
# Fine-tuning in 6 GB, model by model

`memory=6gib` sets the budget and turns on what costs next to nothing: every layer is recomputed in
the backward pass, its input waits in CPU memory, and the token embedding stays there too. What a
model needs beyond that, the planner says before anything is loaded:

```bash
python -m evqa.plan model=llama3_2_3b memory=6gib trainer=gpu
```

The table is the planner's own output for samples of 1024 tokens, rank 16 on all linear layers and
16 samples a step (`python benchmarks/recipes.py` writes this page; a test keeps it current).
`trainer.micro_batch_size=0` lets the planner take the largest micro-batch that fits. The peak
includes 0.5 GiB of CUDA context. "Usual recipe" is one sample of 1024 tokens with 4-bit weights,
fp32 embedding, head and adapter, and full logits.

| model | options beyond `memory=6gib` | micro-batch | peak, GiB | usual recipe, GiB | CPU memory, GiB |
|---|---|---|---|---|---|
{rows}

The figures are predictions. Weights, adapter, gradients and optimiser states are exact to the byte
and activations follow what autograd saves; what the CUDA allocator adds on top has not been
measured on a GPU yet (`python benchmarks/gpu_planner.py` does it).

For the largest one:

<!-- not run: needs a GPU and the gated weights -->
```bash
{command}
```

## What each option costs

| option | saves on Llama-3.1-8B, 1 x 1024 tokens | price |
|---|---|---|
| `memory.embedding_on_cpu=true` | 0.98 GiB | the looked-up rows travel each step |
| `quantization.head=true` | 0.73 GiB | the head is rounded to 4 bits, dequantised tile by tile |
| `memory.offload_checkpoints=true` | 0.23 GiB | layer inputs travel to pinned CPU memory and back |
| `lora.dtype=bf16` | 0.16 GiB | updates are rounded to bf16 |
| `optimizer=paged_adamw8bit` | 0.23 GiB | states are rounded to 8 bits |
| `memory.vocabulary_tile_tokens=2048` | where logits are the peak | more, smaller matrix products |
| `memory.checkpointed_share=0.5` | costs memory instead | fewer layers are recomputed: faster |

When memory runs out all the same, `trainer.on_out_of_memory=halve` halves the micro-batch, doubles
the accumulation and goes on from the last step; otherwise the run ends with exit code 3 and the
planner's list.

## Which adapters can be served

| choice | merging | vLLM with the adapter apart |
|---|---|---|
| LoRA, rsLoRA (`lora=rslora`), LoRA+ (`optimizer.lora_plus_ratio=16`) | yes | yes |
| PiSSA, LoftQ (`lora.init=pissa`, `lora.init=loftq`) | yes: saved as a LoRA of rank 2r | yes |
| DoRA (`lora=dora`) | yes | no: merge it to serve it |
| `lora.bias=all` or `lora_only` | yes | no: merge it to serve it |
"""


def main() -> None:
    """Write the page."""
    write_text(project_dir() / FILE, page([recipe(model) for model in MODELS]))
    sys.stdout.write(f"{FILE}\n")


def current() -> dict[str, Any]:
    """Return the page as it is and as it should be (for the test)."""
    made = page([recipe(model) for model in MODELS])
    return {"is": (project_dir() / FILE).read_text(encoding="utf-8"), "should_be": made}


if __name__ == "__main__":
    main()
