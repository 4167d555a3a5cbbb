"""A running engine as parity's Generator: what is served must say what was trained.

Speaks vLLM's own HTTP interface (``/tokenize``, ``/v1/completions`` with token ids), behind the
proxy, which lets neither through. An engine tells its best K tokens only; the rest of its mass is
shared out as the reference shares it, so that the divergence is that of K tokens and one "other"
(never more than the true one, by the data-processing inequality).
"""

import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from evqa.errors import OutsideError
from evqa.export.parity import Observation

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NUM_TOP = 20  # vLLM's default limit of --max-logprobs
TIMEOUT_S = 120.0
SMALLEST = 1e-12  # mass of what an engine does not name; never zero


@dataclass(frozen=True, slots=True)
class ServedGenerator:
    """A model behind a vLLM engine.

    Attributes:
        url: The engine's address, without ``/v1``.
        key: Its bearer token.
        model: The model's name there.
        seen: What the reference said, to share out the mass that the engine does not name.
    """

    url: str
    key: str
    model: str
    seen: Sequence[Observation]
    _by_prompt: dict[tuple[int, ...], Observation] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._by_prompt.update({tuple(one.prompt): one for one in self.seen})

    def prompt_tokens(self, question: str) -> list[int]:
        """Return the token ids that the engine makes of a user's question."""
        messages = [{"role": "user", "content": question}]
        body = {"model": self.model, "messages": messages, "add_generation_prompt": True}
        return [int(token) for token in self._post("/tokenize", body)["tokens"]]

    def greedy(self, prompt: Sequence[int], max_new_tokens: int) -> list[int]:
        """Return the greedy answer's token ids, its end token included."""
        body = {
            "model": self.model,
            "prompt": list(prompt),
            "max_tokens": max_new_tokens,
            "temperature": 0,
            "return_token_ids": True,
        }
        choice = self._post("/v1/completions", body)["choices"][0]
        return [int(token) for token in choice["token_ids"]]

    def log_probs(self, prompt: Sequence[int], answer: Sequence[int]) -> "NDArray[np.float32]":
        """Return log-probabilities over the vocabulary at each token of ``answer``."""
        import numpy as np

        body = {
            "model": self.model,
            "prompt": [*prompt, *answer],
            "max_tokens": 1,
            "temperature": 0,
            "prompt_logprobs": NUM_TOP,
        }
        choice = self._post("/v1/completions", body)["choices"][0]
        rows = choice["prompt_logprobs"][len(prompt) :]
        reference = self._by_prompt[tuple(prompt)].log_probs
        return np.stack([_filled(row, seen) for row, seen in zip(rows, reference, strict=True)])

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        request = urllib.request.Request(  # noqa: S310  our own engine on loopback
            self.url + path,
            data=json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as reply:  # noqa: S310  # nosec B310
                return json.load(reply)
        except (urllib.error.URLError, TimeoutError, ValueError) as error:
            raise OutsideError(f"the engine does not answer {path}: {error}") from None


def _filled(row: dict[str, dict[str, float]], seen: "NDArray[np.float32]") -> Any:
    """Return one row over the vocabulary from an engine's best tokens.

    Args:
        row: Token id → ``{"logprob": …}``.
        seen: The reference's log-probabilities at the same place.
    """
    import numpy as np

    named = np.array([int(token) for token in row])
    scores = np.array([entry["logprob"] for entry in row.values()], dtype=np.float64)
    rest = max(1 - float(np.exp(scores).sum()), SMALLEST)
    others = np.exp(seen.astype(np.float64))
    others[named] = 0
    share = others / max(float(others.sum()), SMALLEST)
    with np.errstate(divide="ignore"):
        filled = np.log(rest * share)
    filled[named] = scores
    return filled.astype(np.float32)
