"""Pairs from an LLM API: bounded concurrency, a budget, and nothing bought twice."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evqa.config.data import QAConfig
from evqa.errors import EvqaError
from evqa.ledger import Ledger
from evqa.qa.candidate import DIFFICULTIES, Candidate, Passage, to_pair
from evqa.qa.client import Buyer, check_ready, open_completions
from evqa.qa.prompt import VERSION, messages_for, response_format
from evqa.qa.shipped import find_quote
from evqa.qa.spending import Journal
from evqa.records import QAPair

STAGE = "generate"
FIELDS = ("question", "answer", "quote")
MIN_CHUNK_WORDS = 20  # below it there is hardly a fact to ask for


def generate_together(
    passages: Sequence[Passage], config: QAConfig, cache_dir: Path, ledger: Ledger
) -> list[QAPair]:
    """Return the pairs that the API writes, in the order of the passages, not yet validated.

    Raises:
        UserError: when key, model or price is missing.
        GateError: when the budget is spent; what was bought is kept.
        OutsideError: when the API fails; what was bought is kept.
    """
    check_ready(config)
    asked = [passage for passage in passages if passage.chunk.num_words >= MIN_CHUNK_WORDS]
    with Journal(cache_dir, config.budget_usd) as journal:
        texts = asyncio.run(_ask_all(asked, config, journal))
    ledger.enter(STAGE, len(passages))
    answers = dict(zip((passage.chunk.id for passage in asked), texts, strict=True))
    pairs: list[QAPair] = []
    for passage in passages:
        found = parse_answer(answers.get(passage.chunk.id))
        if isinstance(found, str):
            source = passage.document.source
            ledger.drop(STAGE, id=passage.chunk.id, source=source, reason=found)
            continue
        ledger.keep(STAGE)
        pairs += [_pair(passage, row, config) for row in found[: config.max_pairs_per_chunk]]
    return pairs


async def _ask_all(passages: Sequence[Passage], config: QAConfig, journal: Journal) -> list[str]:
    """Ask for every passage; the first failure stops the rest before they are sent."""
    buyer = Buyer(open_completions(config), journal, config)
    room = asyncio.Semaphore(config.max_concurrent_requests)
    shape = response_format(config)

    async def one(passage: Passage) -> str:
        async with room:
            return await buyer.ask(messages_for(passage, config), shape)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(passage)) for passage in passages]
    except* EvqaError as failed:
        first = next(error for error in failed.exceptions if isinstance(error, EvqaError))
        raise first from None
    return [task.result() for task in tasks]


def parse_answer(text: str | None) -> list[dict[str, Any]] | str:
    """Return the pairs of an answer, or the reason why there are none."""
    if text is None:
        return "too_short"
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        return "bad_json"
    rows = found.get("pairs") if isinstance(found, dict) else None
    if not isinstance(rows, list):
        return "bad_shape"
    if not rows:
        return "no_facts"
    if not all(isinstance(row, dict) and _has_texts(row) for row in rows):
        return "bad_shape"
    return rows


def _has_texts(row: dict[str, Any]) -> bool:
    return all(isinstance(row.get(name), str) for name in FIELDS)


def _pair(passage: Passage, row: dict[str, Any], config: QAConfig) -> QAPair:
    """Return a pair; one whose quote is not in the chunk has an empty quote, and is refused."""
    start, end = find_quote(row["quote"], passage.chunk.text) or (0, 0)
    category, difficulty = row.get("category"), row.get("difficulty")
    candidate = Candidate(
        question=" ".join(row["question"].split()),
        answer=" ".join(row["answer"].split()),
        start=start,
        end=end,
        template=VERSION,
        difficulty=difficulty if difficulty in DIFFICULTIES else "medium",
    )
    allowed = config.categories or ["general"]
    return to_pair(
        passage,
        candidate,
        category=category if category in allowed else allowed[0],
        generator=f"together:{config.model}",
    )
