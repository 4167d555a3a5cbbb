"""Shapes of decoder-only model families, from ``conf/model`` or a local ``config.json``; no torch.

The numbers follow the Hugging Face ``config.json`` of Llama (https://arxiv.org/abs/2407.21783),
Mistral (https://arxiv.org/abs/2310.06825), Qwen2 (https://arxiv.org/abs/2407.10671), Qwen3 and
Gemma: every layer has four attention and three MLP projections.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from evqa.config.model import ArchitectureConfig, Family, LoraTargets, ModelConfig
from evqa.errors import UserError
from evqa.files import read_json

ATTENTION_MODULES = ("q_proj", "k_proj", "v_proj", "o_proj")
MLP_MODULES = ("gate_proj", "up_proj", "down_proj")
TARGETS = {
    LoraTargets.all_linear: (*ATTENTION_MODULES, *MLP_MODULES),
    LoraTargets.attention: ATTENTION_MODULES,
    LoraTargets.mlp: MLP_MODULES,
    LoraTargets.qv: ("q_proj", "v_proj"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """The numbers of one model; parameters are counts, sizes are in elements."""

    family: Family
    num_layers: int
    hidden_size: int
    intermediate_size: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    vocab_size: int
    tie_word_embeddings: bool
    attention_bias: bool
    max_position_embeddings: int

    @classmethod
    def of(cls, model: ModelConfig) -> Self:
        """Take a local model's own numbers where it has them, else those of ``conf/model``."""
        folder = Path(str(model.path)).expanduser()
        if (folder / "config.json").is_file():
            return cls.from_folder(folder)
        return cls.from_config(model.architecture)

    @classmethod
    def from_config(cls, config: ArchitectureConfig) -> Self:
        """Take the numbers from ``conf/model``."""
        return cls(**dataclasses.asdict(config))

    @classmethod
    def from_folder(cls, folder: Path) -> Self:
        """Read the numbers from the ``config.json`` of a local model.

        Raises:
            UserError: no config.json there, or a family that evqa does not know.
        """
        path = folder / "config.json"
        if not path.is_file():
            raise UserError(f"{folder}: not a Hugging Face model folder (config.json is missing)")
        return cls.from_json(read_json(path), where=str(path))

    @classmethod
    def from_json(cls, values: dict[str, Any], where: str = "config.json") -> Self:
        """Take the numbers from a parsed ``config.json``.

        Raises:
            UserError: a family that evqa does not know, or a missing number.
        """
        kind = str(values.get("model_type", "?"))
        known = [family.value for family in Family]
        if kind not in known:
            raise UserError(f"{where}: model_type {kind!r} is not one of {', '.join(known)}")
        try:
            heads = int(values["num_attention_heads"])
            hidden = int(values["hidden_size"])
            return cls(
                family=Family(kind),
                num_layers=int(values["num_hidden_layers"]),
                hidden_size=hidden,
                intermediate_size=int(values["intermediate_size"]),
                num_attention_heads=heads,
                num_key_value_heads=int(values.get("num_key_value_heads") or heads),
                head_dim=int(values.get("head_dim") or hidden // heads),
                vocab_size=int(values["vocab_size"]),
                tie_word_embeddings=bool(values.get("tie_word_embeddings", kind == "gemma")),
                attention_bias=bool(values.get("attention_bias", kind == "qwen2")),
                max_position_embeddings=int(values.get("max_position_embeddings", 2048)),
            )
        except KeyError as error:
            raise UserError(f"{where}: {error.args[0]} is missing") from None

    def transformers_values(self) -> dict[str, Any]:
        """Return the numbers under the names that transformers' configs have (not the family)."""
        renamed = {"family": None, "num_layers": "num_hidden_layers"}
        values = dataclasses.asdict(self)
        return {name: v for key, v in values.items() if (name := renamed.get(key, key))}

    def linear_shapes(self) -> dict[str, tuple[int, int]]:
        """Return ``{module: (in_features, out_features)}`` of one layer's projections."""
        hidden, width = self.hidden_size, self.intermediate_size
        query = self.num_attention_heads * self.head_dim
        key_value = self.num_key_value_heads * self.head_dim
        return {
            "q_proj": (hidden, query),
            "k_proj": (hidden, key_value),
            "v_proj": (hidden, key_value),
            "o_proj": (query, hidden),
            "gate_proj": (hidden, width),
            "up_proj": (hidden, width),
            "down_proj": (width, hidden),
        }

    @property
    def num_linear_parameters(self) -> int:
        """Weights of all projections of all layers (what NF4 stores)."""
        return self.num_layers * sum(rows * cols for rows, cols in self.linear_shapes().values())

    @property
    def num_embedding_parameters(self) -> int:
        """Weights of the token embedding; lm_head has as many again unless tied."""
        return self.vocab_size * self.hidden_size

    @property
    def num_other_parameters(self) -> int:
        """Norms and biases."""
        per_layer = 2 * self.hidden_size
        shapes = self.linear_shapes()
        if self.attention_bias:
            per_layer += sum(shapes[name][1] for name in ("q_proj", "k_proj", "v_proj"))
        if self.family is Family.qwen3:
            per_layer += 2 * self.head_dim
        if self.attention_bias and self.family is Family.llama:
            per_layer += self.hidden_size
        return self.num_layers * per_layer + self.hidden_size

    @property
    def num_parameters(self) -> int:
        """All weights, a tied head counted once."""
        heads = 1 if self.tie_word_embeddings else 2
        embeddings = heads * self.num_embedding_parameters
        return self.num_linear_parameters + embeddings + self.num_other_parameters

    def num_lora_parameters(self, rank: int, modules: list[str]) -> int:
        """Return the weights of rank-``rank`` adapters on the named modules of all layers."""
        shapes = self.linear_shapes()
        per_rank = sum(sum(shapes[name]) for name in modules if name in shapes)
        return self.num_layers * rank * per_rank


def target_modules(targets: LoraTargets, named: list[str]) -> list[str]:
    """Return the module names that get an adapter.

    Raises:
        UserError: a named module that no layer has.
    """
    known = TARGETS[LoraTargets.all_linear]
    for name in named:
        if name not in known:
            raise UserError(
                f"lora.target_modules: no module {name!r}; allowed: {', '.join(known)}"
            )
    return list(named or TARGETS[targets])
