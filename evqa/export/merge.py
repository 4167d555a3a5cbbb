"""Merging a LoRA adapter into its base on the CPU, one tensor at a time.

``W' = W + scaling * B A`` is computed in float32 and written in the type asked for; memory is that
of the largest tensor, whatever the model's size. W is either the original weight, or what the
adapter was trained on: its NF4 value, dequantised, where training was in NF4 (on the embedded
default the original weights change answers, these do not).
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from evqa.config.model import QuantizationConfig
from evqa.errors import UserError
from evqa.export.adapter import SavedAdapter
from evqa.export.checkpoint import Checkpoint, PlannedTensor, write_checkpoint
from evqa.export.loading import TORCH_DTYPES, load_tokenizer, local_folder

NF4_BLOCK_SIZE = 64  # weights a scale, QLoRA's choice (https://arxiv.org/abs/2305.14314)


@dataclass(frozen=True, slots=True)
class Layout:
    """A model's parts by name, from its config alone: no weight is loaded.

    Attributes:
        config: The transformers config.
        names: Every tensor that a whole checkpoint has.
        linears: Weights of the linear layers that NF4 quantises: all but the head.
        tied: Tensors that may be left out because another one stands for them.
    """

    config: Any
    names: frozenset[str]
    linears: frozenset[str]
    tied: frozenset[str]


def merge_adapter(
    base_dir: str,
    adapter_dir: Path,
    output_dir: Path,
    dtype: str,
    max_shard_gib: float,
    nf4: QuantizationConfig | None = None,
) -> None:
    """Write base + adapter as one checkpoint that plain ``AutoModelForCausalLM`` loads.

    Tokenizer and chat template are the adapter folder's, as training saved them; the generation
    config is the base's, and stops at the tokenizer's end token too.

    Args:
        base_dir: Local folder in Hugging Face format, or a hub id.
        adapter_dir: A peft adapter with its tokenizer.
        output_dir: An empty folder.
        dtype: bf16, fp16 or fp32.
        max_shard_gib: Largest safetensors file, GiB.
        nf4: How training quantised the base, to merge into those values; None for the original.

    Raises:
        UserError: adapter or base are not there, or do not fit each other.
        OutsideError: when a hub model cannot be had.
    """
    import torch

    if any(output_dir.iterdir()):
        raise UserError(f"{output_dir}: not empty; a merge is written to a fresh folder")
    adapter = SavedAdapter(adapter_dir)
    tokenizer = load_tokenizer(adapter_dir)
    folder = local_folder(base_dir)
    layout = read_layout(folder)
    target = getattr(torch, TORCH_DTYPES[dtype])
    merge = _Merge(Checkpoint(folder), adapter, layout, target, nf4)
    write_checkpoint(output_dir, merge.tensors(), int(max_shard_gib * 2**30))
    write_configs(output_dir, folder, layout.config, target, tokenizer)


@dataclass(frozen=True, slots=True)
class _Merge:
    """The merged tensors of one merge, each made when it is written."""

    checkpoint: Checkpoint
    adapter: SavedAdapter
    layout: Layout
    dtype: Any
    nf4: QuantizationConfig | None

    def tensors(self) -> Iterator[PlannedTensor]:
        """Yield every tensor of the merged checkpoint.

        Raises:
            UserError: the base is incomplete, or has no layer that the adapter was trained for.
        """
        names = {_whole_name(name, self.layout): name for name in self.checkpoint.names()}
        self._check(set(names))
        for name, stored in names.items():
            if name in self.layout.names:
                yield PlannedTensor(
                    name=name,
                    shape=self.checkpoint.shape(stored),
                    dtype=self.dtype,
                    make=partial(self._make, name, stored),
                )

    def _check(self, present: set[str]) -> None:
        if missing := sorted(self.layout.names - present - self.layout.tied):
            raise UserError(f"{self.checkpoint.folder}: the weights lack {missing[0]}")
        wanted = {f"{module}.weight" for module in self.adapter.deltas} | set(
            self.adapter.replaced
        )
        if unknown := sorted(wanted - present):
            raise UserError(
                f"{self.adapter.folder}: does not fit the base {self.checkpoint.folder}: "
                f"there is no {unknown[0]}"
            )

    def _make(self, name: str, stored: str) -> Any:
        if name in self.adapter.replaced:
            return self.adapter.replaced[name].to(self.dtype)
        weight = self.checkpoint.tensor(stored)
        if self.nf4 is not None and name in self.layout.linears:
            weight = nf4_values(weight, self.nf4)
        module = name.removesuffix(".weight")
        if module in self.adapter.deltas:
            weight = self.adapter.merge(module, weight)
        return weight.to(self.dtype)


def _whole_name(stored: str, layout: Layout) -> str:
    """Return a tensor's name in the whole model: bare backbones are stored without prefix."""
    return stored if stored in layout.names else f"model.{stored}"


def nf4_values(weight: Any, quantization: QuantizationConfig) -> Any:
    """Return the float32 values that a weight has in NF4, as training computed with them."""
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    packed, state = quantize_4bit(
        weight.float(),
        blocksize=NF4_BLOCK_SIZE,
        compress_statistics=quantization.double_quant,
        quant_type="nf4",
    )
    return dequantize_4bit(packed, state)


def read_layout(folder: Path) -> Layout:
    """Return a model's layout from its config.json.

    Raises:
        UserError: when the config cannot be read as a causal language model's.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config = AutoConfig.from_pretrained(str(folder))
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(copy.deepcopy(config))
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{folder}: {str(error).strip().splitlines()[0]}") from None
    head = model.get_output_embeddings()
    linears = {
        f"{name}.weight"
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    }
    tied = frozenset(model.all_tied_weights_keys) if config.tie_word_embeddings else frozenset()
    return Layout(config, frozenset(model.state_dict()), frozenset(linears), tied)


def write_configs(output_dir: Path, base: Path, config: Any, dtype: Any, tokenizer: Any) -> None:
    """Write what belongs beside the weights: config, generation config, tokenizer."""
    from transformers import GenerationConfig

    config = copy.deepcopy(config)
    config.dtype = dtype
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    config.save_pretrained(output_dir)
    try:
        generation = GenerationConfig.from_pretrained(str(base))
    except OSError:
        generation = GenerationConfig.from_model_config(config)
    _stop_at_end_of_turn(generation, tokenizer)
    generation.save_pretrained(output_dir)
    tokenizer.save_pretrained(output_dir)


def _stop_at_end_of_turn(generation: Any, tokenizer: Any) -> None:
    """Let generation stop where training ended an answer, beside the base's own end tokens."""
    known = generation.eos_token_id
    ends = list(known) if isinstance(known, list) else [known]
    ends = [token for token in dict.fromkeys([*ends, tokenizer.eos_token_id]) if token is not None]
    generation.eos_token_id = ends[0] if len(ends) == 1 else ends
