"""A transformers model on the CPU as parity's Generator."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class TransformersGenerator:
    """Greedy answers and their scores, one prompt at a time."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self._model = model
        self._tokenizer = tokenizer

    def prompt_tokens(self, question: str) -> list[int]:
        """Return the token ids of a user's question in the chat template, answer to follow."""
        messages = [{"role": "user", "content": question}]
        ids = self._tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_dict=False
        )
        return list(ids)

    def greedy(self, prompt: Sequence[int], max_new_tokens: int) -> list[int]:
        """Return the greedy answer's token ids, its end token included."""
        import torch

        ids = torch.tensor([list(prompt)])
        with torch.no_grad():
            output = self._model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=max_new_tokens,
                pad_token_id=self._tokenizer.pad_token_id,
                eos_token_id=self._tokenizer.eos_token_id,
                do_sample=False,
                temperature=None,
                top_p=None,
                top_k=None,
            )
        return [int(token) for token in output[0, len(prompt) :]]

    def log_probs(self, prompt: Sequence[int], answer: Sequence[int]) -> "NDArray[np.float32]":
        """Return log-probabilities over the vocabulary at each token of ``answer``."""
        import torch

        ids = torch.tensor([[*prompt, *answer]])
        with torch.no_grad():
            logits = self._model(input_ids=ids).logits[0, len(prompt) - 1 : -1].float()
        scores: NDArray[np.float32] = torch.log_softmax(logits, dim=-1).numpy()
        return scores
