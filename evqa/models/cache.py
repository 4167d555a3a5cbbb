"""Quantised bases on disk: a 7B model is read as 4 GB at every start, instead of as 16.

Kept under the hash of the weights and of all that decides the stored bytes; loading one gives the
same tensors, to the bit, as quantising again (tests prove it).
"""

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evqa.config.model import ModelConfig, QuantizationConfig, QuantizationKind
from evqa.files import atomic_folder, folder_lock, sha256_json

FORMAT_VERSION = 1  # raise it when the same inputs would give other bytes
GIB = 2**30
WEIGHT_PATTERNS = ("*.safetensors", "*.bin")


@dataclass(frozen=True, slots=True)
class QuantizedCache:
    """A folder of quantised bases.

    Attributes:
        folder: Where they are.
        weights_sha256: Of the base that is loaded.
        is_sharded: For FSDP (see `evqa.models.load.load_base`).
    """

    folder: Path
    weights_sha256: str
    is_sharded: bool = False

    def path(self, quantization: QuantizationConfig, dtype: str) -> Path:
        """Return where the base lies in this form."""
        packages = ("bitsandbytes", "transformers", "torch")
        parts = [
            FORMAT_VERSION,
            self.weights_sha256,
            quantization.double_quant,
            dtype,
            self.is_sharded,
            [importlib.metadata.version(name) for name in packages],
        ]
        return self.folder / f"nf4-{sha256_json(parts)[:16]}"

    def load(
        self, folder: Path, model: ModelConfig, quantization: QuantizationConfig, device: Any
    ) -> Any:
        """Load a base, from here when it is here; a large one is put here."""
        from evqa.models.load import load_base, pick_dtype

        keep = quantization.kind is QuantizationKind.nf4
        keep = keep and weights_gib(folder) >= quantization.cache_min_gib
        if not keep:
            return load_base(folder, model, quantization, device, is_sharded=self.is_sharded)
        kept = self.path(quantization, str(pick_dtype(model.dtype, device)))
        if not (kept / "config.json").is_file():
            with folder_lock(self.folder):
                if not (kept / "config.json").is_file():
                    return self._make(folder, kept, model, quantization, device)
        return load_base(kept, model, quantization, device, is_sharded=self.is_sharded)

    def _make(
        self,
        folder: Path,
        kept: Path,
        model: ModelConfig,
        quantization: QuantizationConfig,
        device: Any,
    ) -> Any:
        from evqa.models.load import load_base

        base = load_base(folder, model, quantization, device, is_sharded=self.is_sharded)
        with atomic_folder(kept) as temporary:
            base.save_pretrained(temporary)
        return base


def weights_gib(folder: Path) -> float:
    """Return what a model's weight files take on disk, GiB."""
    files = (file for pattern in WEIGHT_PATTERNS for file in folder.glob(pattern))
    return sum(file.stat().st_size for file in files) / GIB
