"""Saving the embedding's and the head's memory: the head in NF4 tiles, the embedding on the CPU.

Shapes: H hidden size, V vocabulary, W words of a tile, N positions.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

NF4_BLOCK = 64


class Nf4Head(nn.Module):
    """An output head stored in NF4, one vocabulary tile after the other.

    A whole dequantisation of an 8B model's head would take 1 GB for a moment; a tile of 8192 words
    takes 64 MB.

    Args:
        weight: V × H; it may be freed afterwards.
        tile_tokens: W.
        double_quant: Quantise the block scales too.
        device: Where the tiles live.
    """

    def __init__(
        self, weight: Tensor, tile_tokens: int, double_quant: bool, device: torch.device
    ) -> None:
        super().__init__()
        from bitsandbytes.functional import quantize_4bit

        self.out_features, self.in_features = weight.shape
        self.dtype = weight.dtype
        self._states: list[tuple[int, Any]] = []
        for place, start in enumerate(range(0, self.out_features, tile_tokens)):
            packed, state = quantize_4bit(
                weight[start : start + tile_tokens].to(device),
                blocksize=NF4_BLOCK,
                compress_statistics=double_quant,
                quant_type="nf4",
            )
            self.register_buffer(f"tile_{place}", packed, persistent=False)
            self._states.append((start, state))

    def tiles(self) -> Iterator[tuple[int, Tensor]]:
        """Yield ``(first word, W × H weights)``, each dequantised when it is asked for."""
        from bitsandbytes.functional import dequantize_4bit

        for place, (start, state) in enumerate(self._states):
            packed = getattr(self, f"tile_{place}")
            if state.absmax.device != packed.device:  # the module was moved
                state.to(packed.device)
            yield start, dequantize_4bit(packed, state)

    def num_bytes(self) -> int:
        """Return what the tiles, their scales and their code books take."""
        total = 0
        for place, (_start, state) in enumerate(self._states):
            tensors = [getattr(self, f"tile_{place}"), state.absmax, state.code]
            if state.nested:
                tensors += [state.state2.absmax, state.offset]
            total += sum(tensor.nbytes for tensor in tensors)
        return total

    def forward(self, hidden: Tensor) -> Tensor:
        """Return the logits, … × V, of a few positions (generation)."""
        parts = [functional.linear(hidden.to(tile.dtype), tile) for _start, tile in self.tiles()]
        return torch.cat(parts, dim=-1).to(hidden.dtype)


class HostEmbedding(nn.Module):
    """A token embedding whose table stays in CPU memory; only the rows looked up travel.

    Args:
        weight: V × H.
        device: Where the looked-up rows are wanted.
    """

    def __init__(self, weight: Tensor, device: torch.device) -> None:
        super().__init__()
        self.num_embeddings, self.embedding_dim = weight.shape
        self.device = device
        # Not a parameter: whatever moves the model to a device would move it along.
        self._table = (weight.detach().to("cpu"),)

    @property
    def weight(self) -> Tensor:
        """The table, V × H, on the CPU."""
        return self._table[0]

    def forward(self, ids: Tensor) -> Tensor:
        """Return the rows of the ids on the device, … × H."""
        rows = functional.embedding(ids.to("cpu"), self.weight)
        return rows.to(self.device, non_blocking=True)


def save_vocabulary_memory(
    model: Any, *, head: bool, embedding: bool, tile_tokens: int, double_quant: bool
) -> None:
    """Replace the head, the embedding or both of a loaded base.

    Args:
        model: A causal language model (transformers).
        head: Store the head in NF4 tiles.
        embedding: Keep the embedding on the CPU.
        tile_tokens: Words of a tile.
        double_quant: Quantise the head's block scales too.
    """
    device = model.device
    embedding_layer = model.get_input_embeddings()
    head_weight = model.get_output_embeddings().weight.detach()
    if embedding:
        model.set_input_embeddings(HostEmbedding(embedding_layer.weight, device))
    if head:
        model.config.tie_word_embeddings = False  # they are two things now
        tiled = Nf4Head(head_weight, tile_tokens, double_quant, device)
        model.set_output_embeddings(tiled)
