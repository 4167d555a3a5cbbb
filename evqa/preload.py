"""What a training imports: a sweep's server loads it by name, so that trials start at once."""

import importlib

MODULES = (
    "torch", "datasets", "lightning", "transformers", "peft", "bitsandbytes", "safetensors",
    "transformers.models.llama.modeling_llama", "transformers.generation",
    "transformers.models.auto.modeling_auto", "transformers.models.auto.tokenization_auto",
    "evqa.stages", "evqa.prepare", "evqa.tracking", "evqa.data.dataset", "evqa.training.fit",
    "evqa.models.base", "evqa.models.generate", "evqa.models.head", "evqa.models.initialise",
    "evqa.evaluation.quick", "evqa.evaluation.table", "evqa.sweep.plugin",
)  # fmt: skip

for _name in MODULES:
    importlib.import_module(_name)
