"""Counting a prompt's tokens where the engine does not bound it: transformers' own server."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

TokenCounter = Callable[[Any], int]


def token_counter(model_dir: Path) -> TokenCounter | None:
    """Return what counts the tokens of messages, or of a text; null without a tokenizer file.

    The chat template's own tokens are not counted, so the count is a lower bound: whatever is
    refused by it could not have been answered.
    """
    path = model_dir / "tokenizer.json"
    if not path.is_file():
        return None
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))

    def count(prompt: Any) -> int:
        """Return the number of tokens."""
        texts = [prompt] if isinstance(prompt, str) else [m["content"] for m in prompt]
        return sum(len(tokenizer.encode(text, add_special_tokens=False).ids) for text in texts)

    return count
