"""Pairs from an LLM API: bounded concurrency, a budget, and nothing bought twice.

First every passage is asked about; the answers lie in the journal. Then they are read from it in
the order of the passages, so that the result does not depend on which answer came first.
"""

import asyncio
import itertools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from evqa.config.data import QAConfig
from evqa.ledger import Ledger
from evqa.qa.candidate import DIFFICULTIES, Candidate, Passage, to_pair
from evqa.qa.client import Buyer, SdkCompletions, ask_all, check_ready
from evqa.qa.prompt import (
    PARAPHRASE_VERSION,
    VERSION,
    messages_for,
    paraphrase_format,
    paraphrase_messages,
    response_format,
)
from evqa.qa.shipped import find_quote
from evqa.qa.spending import Journal
from evqa.records import Chunk, QAPair

STAGE = "generate"
FIELDS = ("question", "answer", "quote")
MIN_CHUNK_WORDS = 20  # below it there is hardly a fact to ask for
BATCH = 256  # pairs whose other wordings are bought at a time


def generate_together(
    passages: Iterable[Passage], config: QAConfig, cache_dir: Path, ledger: Ledger
) -> Iterator[tuple[QAPair, Chunk]]:
    """Yield the pairs that the API writes, in the order of the passages, not yet validated.

    Args:
        passages: Gone through twice.
        config: Model, prices, budget, categories, difficulties.
        cache_dir: Holds the journal.
        ledger: Stage ``generate`` counts passages.

    Raises:
        UserError: when key, model or price is missing.
        GateError: when the budget is spent; what was bought is kept.
        OutsideError: when the API fails; what was bought is kept.
    """
    check_ready(config)
    shape = response_format(config)
    with Journal(cache_dir, config.budget_usd) as journal:
        buyer = Buyer(SdkCompletions(config), journal, config)
        requests = (messages_for(passage, config) for passage in _askable(passages))
        total = sum(1 for _ in _askable(passages))
        asyncio.run(ask_all(buyer, requests, shape, "generating", total=total, keep=False))
        pairs = _read_answers(passages, buyer, ledger, shape)
        yield from _with_wordings(pairs, buyer) if config.num_paraphrases else pairs


def _askable(passages: Iterable[Passage]) -> Iterator[Passage]:
    return (passage for passage in passages if passage.chunk.num_words >= MIN_CHUNK_WORDS)


def _read_answers(
    passages: Iterable[Passage], buyer: Buyer, ledger: Ledger, shape: dict[str, Any]
) -> Iterator[tuple[QAPair, Chunk]]:
    config = buyer.config
    for passage in passages:
        ledger.enter(STAGE)
        is_asked = passage.chunk.num_words >= MIN_CHUNK_WORDS
        text = buyer.bought(messages_for(passage, config), shape) if is_asked else None
        found = parse_answer(text)
        if isinstance(found, str):
            source = passage.document.source
            ledger.drop(STAGE, id=passage.chunk.id, source=source, reason=found)
            continue
        ledger.keep(STAGE)
        for row in found[: config.max_pairs_per_chunk]:
            yield _pair(passage, row, config), passage.chunk


def parse_answer(text: str | None) -> list[dict[str, Any]] | str:
    """Return the pairs of an answer, or the reason why there are none.

    Of an answer that breaks off, the pairs before the break count.
    """
    if text is None:
        return "too_short"
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        return _salvaged(text) or "bad_json"
    rows = found.get("pairs") if isinstance(found, dict) else None
    if not isinstance(rows, list):
        return "bad_shape"
    if not rows:
        return "no_facts"
    whole = [row for row in rows if _is_pair(row)]
    return whole or "bad_shape"


def _is_pair(row: Any) -> bool:
    return isinstance(row, dict) and all(isinstance(row.get(name), str) for name in FIELDS)


def _salvaged(text: str) -> list[dict[str, Any]]:
    """Return the whole pairs of JSON that breaks off."""
    decoder = json.JSONDecoder()
    place = text.find("[", text.find('"pairs"'))
    rows: list[dict[str, Any]] = []
    while 0 <= place < len(text) and (start := text.find("{", place)) >= 0:
        try:
            row, place = decoder.raw_decode(text, start)
        except json.JSONDecodeError:
            break
        rows += [row] if _is_pair(row) else []
    return rows


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


def _with_wordings(
    pairs: Iterator[tuple[QAPair, Chunk]], buyer: Buyer
) -> Iterator[tuple[QAPair, Chunk]]:
    """Yield each pair, then its other wordings: same answer, same quote, another question."""
    num_wanted = buyer.config.num_paraphrases
    while batch := list(itertools.islice(pairs, BATCH)):
        requests = [paraphrase_messages(pair.question, num_wanted) for pair, _ in batch]
        texts = asyncio.run(ask_all(buyer, requests, paraphrase_format(), "rephrasing"))
        for (pair, chunk), text in zip(batch, texts, strict=True):
            yield pair, chunk
            for question in parse_wordings(text)[:num_wanted]:
                yield reworded(pair, question), chunk


def parse_wordings(text: str) -> list[str]:
    """Return the questions that an answer holds; none when it is not what was asked for."""
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        return []
    questions = found.get("questions") if isinstance(found, dict) else None
    if not isinstance(questions, list):
        return []
    return [" ".join(q.split()) for q in questions if isinstance(q, str) and q.strip()]


def reworded(pair: QAPair, question: str) -> QAPair:
    """Return a pair with another wording of its question."""
    values = pair.to_dict() | {
        "id": QAPair.make_id(str(pair.chunk_id), question, pair.answer),
        "question": question,
        "provenance": {**pair.provenance, "template": PARAPHRASE_VERSION, "of": pair.id},
    }
    return QAPair.from_dict(values)
