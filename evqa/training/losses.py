"""Cross-entropy over the labelled positions only.

Shapes: B sequences, T tokens, H hidden size, V vocabulary, N labelled positions. The head is
applied to N positions instead of B × T, so the full logits never exist.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from evqa.models.chat import IGNORED_LABEL


def labelled_hidden(hidden: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Select what predicts a labelled token.

    Args:
        hidden: Last hidden states, B × T × H.
        labels: B × T token ids, -100 where the loss does not look.

    Returns:
        Hidden states N × H of the positions before each labelled token, and the N tokens.
    """
    targets = labels[:, 1:]
    kept = targets != IGNORED_LABEL
    return hidden[:, :-1][kept], targets[kept]


def label_loss_sum(model: Any, batch: dict[str, Any]) -> tuple[Tensor, int]:
    """Return the summed cross-entropy (nats) of a batch and its number of label tokens.

    Args:
        model: A causal language model (transformers), adapter layers included.
        batch: ``input_ids``, ``attention_mask`` and ``labels``, each B × T.
    """
    decoder = model.get_decoder()
    output = decoder(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
    hidden, targets = labelled_hidden(output.last_hidden_state, batch["labels"])
    logits = model.get_output_embeddings()(hidden).to(torch.float32)
    return functional.cross_entropy(logits, targets, reduction="sum"), int(targets.numel())
