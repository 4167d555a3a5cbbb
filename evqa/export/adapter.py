"""A saved LoRA adapter, applied to one weight at a time.

``W' = W + scaling * B A`` is left to peft, on a layer made for each weight, so that LoRA, rsLoRA
and DoRA merge as peft merges them (https://arxiv.org/abs/2106.09685, 2312.03732, 2402.09353)
while no model is loaded.
"""

from pathlib import Path
from typing import Any

import torch

from evqa.errors import UserError

PREFIX = "base_model.model."
LAYER = "layer"
PLAIN_STARTS = (True, False, "gaussian", "orthogonal")  # B A starts beside an unchanged base


class SavedAdapter:
    """The matrices of an adapter folder, by the module that they belong to.

    Attributes:
        deltas: Module name → the adapter's tensors for it (``lora_A.weight``, …).
        replaced: Tensors that were trained whole (biases), by their name in the base.

    Raises:
        UserError: no adapter there, or one that cannot be merged weight by weight.
    """

    def __init__(self, folder: Path) -> None:
        from peft import LoraConfig

        check_adapter(folder)
        self.folder = folder
        self._config = LoraConfig.from_pretrained(str(folder))
        _check_mergeable(folder, self._config)
        self.deltas: dict[str, dict[str, torch.Tensor]] = {}
        self.replaced: dict[str, torch.Tensor] = {}
        for key, tensor in _load(folder).items():
            self._sort_in(key, tensor)

    def merge(self, module: str, weight: torch.Tensor) -> torch.Tensor:
        """Return a module's weight (out x in) in float32 with the adapter merged in.

        Raises:
            UserError: shapes that do not fit, or a result that is not finite.
        """
        tensors = self.deltas[module]
        self._check_shapes(module, tensors, weight)
        layer = self._layer(tensors, weight)
        try:
            layer.merge(safe_merge=True)
        except ValueError as error:
            raise UserError(f"{self.folder}: cannot be merged: {module}: {error}") from None
        merged: torch.Tensor = layer.get_base_layer().weight.data
        return merged

    def _sort_in(self, key: str, tensor: torch.Tensor) -> None:
        name = key.removeprefix(PREFIX)
        module, found, kind = name.partition(".lora_")
        if not found:
            self.replaced[name.replace(".base_layer.", ".")] = tensor
        elif kind.startswith("embedding"):
            raise UserError(f"{self.folder}: adapts the embedding ({name}), which is not merged")
        else:
            self.deltas.setdefault(module, {})[f"lora_{kind}"] = tensor

    def _check_shapes(
        self, module: str, tensors: dict[str, torch.Tensor], weight: torch.Tensor
    ) -> None:
        low_a, low_b = tensors.get("lora_A.weight"), tensors.get("lora_B.weight")
        if low_a is None or low_b is None:
            raise UserError(f"{self.folder}: {module} has no complete pair of A and B")
        rank, wide = low_a.shape
        if (low_b.shape[0], wide) != tuple(weight.shape) or low_b.shape[1] != rank:
            raise UserError(
                f"{self.folder}: does not fit the base: {module} is {tuple(weight.shape)} there, "
                f"the adapter's B A is {(low_b.shape[0], wide)}"
            )
        if rank != self._config.r:
            raise UserError(
                f"{self.folder}: does not fit the base: {module} has rank {rank}, "
                f"adapter_config.json says r={self._config.r}"
            )

    def _layer(self, tensors: dict[str, torch.Tensor], weight: torch.Tensor) -> Any:
        """Return a peft layer around ``weight`` with the saved matrices in it."""
        from peft import LoraConfig, inject_adapter_in_model, set_peft_model_state_dict

        wide_out, wide_in = weight.shape
        linear = torch.nn.Linear(wide_in, wide_out, bias=False, device="meta")
        linear.weight = torch.nn.Parameter(weight.float(), requires_grad=False)
        config = LoraConfig(
            r=self._config.r,
            lora_alpha=self._config.lora_alpha,
            use_rslora=self._config.use_rslora,
            use_dora=self._config.use_dora,
            target_modules=[LAYER],
        )
        box = torch.nn.ModuleDict({LAYER: linear})
        inject_adapter_in_model(config, box)
        state = {f"{LAYER}.{name}": tensor.float() for name, tensor in tensors.items()}
        set_peft_model_state_dict(box, state)
        return box[LAYER]


def check_adapter(folder: Path) -> None:
    """Refuse a folder that does not hold a peft adapter.

    Raises:
        UserError: naming the missing file.
    """
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        if not (folder / name).is_file():
            raise UserError(f"{folder}: no adapter there ({name} is missing); train again")


def _check_mergeable(folder: Path, config: Any) -> None:
    """Refuse what one rule for all weights cannot merge.

    Raises:
        UserError: naming the field of adapter_config.json.
    """
    if config.init_lora_weights not in PLAIN_STARTS:
        raise UserError(
            f"{folder}: init_lora_weights={config.init_lora_weights!r} changed the base too; "
            "convert the adapter to plain LoRA first (see peft's save_pretrained)"
        )
    for field in ("rank_pattern", "alpha_pattern", "fan_in_fan_out"):
        if getattr(config, field, None):
            raise UserError(f"{folder}: adapter_config.json: {field} is not merged by evqa")


def _load(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / "adapter_model.safetensors"
    try:
        return dict(load_file(path))
    except SafetensorError as error:
        raise UserError(f"{path}: not a safetensors file ({error})") from None
