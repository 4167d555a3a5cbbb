"""From pairs in a JSONL file to tokenised samples in a `datasets` store.

A sample is one conversation: token ids and, at the same positions, labels (-100 where the loss
does not look). Nothing is truncated silently: what does not fit is counted by name.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from evqa.errors import GateError, UserError
from evqa.ledger import Ledger
from evqa.models.chat import LabelledIds, labelled_ids
from evqa.records import QAPair, Split

STAGE = "samples"
MAX_DROPPED_SHARE = 0.2  # more than this does not fit: the context is too small for the data


@dataclass(frozen=True, slots=True)
class Samples:
    """The tokenised pairs of a run, by split."""

    train: Any
    validation: Any

    @property
    def num_train(self) -> int:
        """Training samples."""
        return len(self.train)


def messages_of(pair: QAPair) -> list[dict[str, str]]:
    """Return a pair as the conversation that is trained on."""
    return [
        {"role": "user", "content": pair.question},
        {"role": "assistant", "content": pair.answer},
    ]


def build_samples(
    pairs: Iterable[QAPair], tokenizer: Any, max_length_tokens: int, ledger: Ledger
) -> Samples:
    """Tokenise the training and validation pairs.

    Raises:
        UserError: no training pair, or none that fits.
        GateError: more than a fifth of the pairs is longer than ``max_length_tokens``.
    """
    rows: dict[str, list[dict[str, Any]]] = {Split.train: [], Split.validation: []}
    for pair in pairs:
        if pair.split not in rows:
            continue
        ledger.enter(STAGE)
        sample = labelled_ids(tokenizer, messages_of(pair))
        reason = refusal(sample, max_length_tokens)
        if reason:
            detail = f"{len(sample.input_ids)} tokens, {sample.num_label_tokens} labelled"
            ledger.drop(STAGE, id=pair.id, source=pair.question, reason=reason, detail=detail)
            continue
        ledger.keep(STAGE)
        rows[pair.split].append(_row(pair, sample))
    _check(ledger, rows[Split.train], max_length_tokens)
    return Samples(_store(rows[Split.train]), _store(rows[Split.validation]))


def refusal(sample: LabelledIds, max_length_tokens: int) -> str | None:
    """Return why a sample cannot be trained on, or None."""
    if len(sample.input_ids) > max_length_tokens:
        return "too_long"
    return None if sample.num_label_tokens else "no_labels"


def _row(pair: QAPair, sample: LabelledIds) -> dict[str, Any]:
    return {
        "id": pair.id,
        "input_ids": sample.input_ids,
        "labels": sample.labels,
        "num_tokens": len(sample.input_ids),
        "num_label_tokens": sample.num_label_tokens,
    }


def _check(ledger: Ledger, train: Sequence[Any], max_length_tokens: int) -> None:
    account = ledger.stage(STAGE)
    if account.num_in == 0:
        raise UserError("no pairs to train on: the prepared dataset has no training split")
    too_long = account.dropped["too_long"]
    if not train:
        why = ", ".join(f"{count} {reason}" for reason, count in sorted(account.dropped.items()))
        raise UserError(
            f"no sample is left to train on ({why or 'all pairs are in validation'}); longest "
            f"allowed is model.max_length_tokens={max_length_tokens}"
        )
    if too_long > MAX_DROPPED_SHARE * account.num_in:
        raise GateError(
            f"{too_long} of {account.num_in} pairs are longer than model.max_length_tokens="
            f"{max_length_tokens}; raise it, or make shorter pairs"
        )


def _store(rows: list[dict[str, Any]]) -> Any:
    from datasets import Dataset

    columns = ("id", "input_ids", "labels", "num_tokens", "num_label_tokens")
    return Dataset.from_dict({name: [row[name] for row in rows] for name in columns})
