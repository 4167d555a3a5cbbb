"""A second opinion: an LLM that sees the source says whether it supports a pair.

Its answers are bought within the same budget and kept in the same journal as the pairs.
"""

import asyncio
import itertools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from evqa.config.data import QAConfig
from evqa.ledger import Ledger
from evqa.qa.client import Buyer, SdkCompletions, ask_all
from evqa.qa.grounded import Grounded, drop_pair
from evqa.qa.prompt import judge_format, judge_messages
from evqa.qa.spending import Journal

STAGE = "judge"
BATCH = 256  # pairs that are in memory at a time


def judged(
    pairs: Iterable[Grounded], config: QAConfig, cache_dir: Path, ledger: Ledger
) -> Iterator[Grounded]:
    """Yield the pairs that the judge accepts; the others are dropped with its reason.

    Pairs without a source (imported ones) are not judged. An answer that is no verdict keeps the
    pair: the mechanical checks have passed it.

    Raises:
        GateError: when the budget is spent.
        OutsideError: when the API fails.
    """
    waiting = iter(pairs)
    while batch := list(itertools.islice(waiting, BATCH)):
        verdicts = _verdicts(batch, config, cache_dir)
        for (pair, chunk), verdict in zip(batch, verdicts, strict=True):
            ledger.enter(STAGE)
            if verdict is None or verdict.get("supported") is not False:
                ledger.keep(STAGE)
                yield pair, chunk
            else:
                said = " ".join(str(verdict.get("reason") or "").split())[:200]
                drop_pair(ledger, STAGE, pair, chunk, ("judged_unsupported", said))


def _verdicts(
    batch: list[Grounded], config: QAConfig, cache_dir: Path
) -> list[dict[str, Any] | None]:
    asked = [(pair, chunk) for pair, chunk in batch if chunk is not None]
    with Journal(cache_dir, config.budget_usd) as journal:
        buyer = Buyer(SdkCompletions(config), journal, config)
        requests = [judge_messages(pair, chunk) for pair, chunk in asked]
        texts = asyncio.run(ask_all(buyer, requests, judge_format(), "judging"))
    found = {pair.id: parse_verdict(text) for (pair, _), text in zip(asked, texts, strict=True)}
    return [found.get(pair.id) for pair, _ in batch]


def parse_verdict(text: str) -> dict[str, Any] | None:
    """Return the verdict that an answer holds, null when it is none."""
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        return None
    is_verdict = isinstance(found, dict) and isinstance(found.get("supported"), bool)
    return found if is_verdict else None
