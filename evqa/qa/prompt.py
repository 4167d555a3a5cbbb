"""Build the messages that an LLM is asked with: fenced sources, prompts in versioned files.

How the prompts came to be is told in ``docs/prompts.md``.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evqa.config.data import QAConfig
from evqa.qa.candidate import DIFFICULTIES, Passage
from evqa.records import Chunk, QAPair

VERSION = "generate_v2"
PARAPHRASE_VERSION = "paraphrase_v1"
JUDGE_VERSION = "judge_v1"
FENCE_OPEN, FENCE_CLOSE = "<<<SOURCE", "SOURCE>>>"
PROMPTS = Path(__file__).parent / "prompts"

Messages = list[dict[str, str]]


def messages_for(passage: Passage, config: QAConfig) -> Messages:
    """Return the chat messages that ask for pairs about one passage."""
    categories = config.categories or ["general"]
    system = _prompt(
        VERSION,
        num_pairs=config.max_pairs_per_chunk,
        categories=", ".join(categories),
        example_category=categories[0],
        mix=mix_in_words(config.difficulty_mix),
    )
    title = " ".join(passage.document.title.split())
    headings = " > ".join(passage.chunk.headings)
    body = f"Title: {title}\nSection: {headings}\n\n{passage.chunk.text}"
    return [{"role": "system", "content": system}, {"role": "user", "content": fenced(body)}]


def paraphrase_messages(question: str, num_wordings: int) -> Messages:
    """Return the chat messages that ask for other wordings of a question."""
    system = _prompt(PARAPHRASE_VERSION, num_wordings=num_wordings)
    return [{"role": "system", "content": system}, {"role": "user", "content": fenced(question)}]


def judge_messages(pair: QAPair, chunk: Chunk) -> Messages:
    """Return the chat messages that ask whether a chunk supports a pair."""
    user = f"{fenced(chunk.text)}\n\nQuestion: {pair.question}\nAnswer: {pair.answer}"
    return [
        {"role": "system", "content": _prompt(JUDGE_VERSION)},
        {"role": "user", "content": user},
    ]


def _prompt(version: str, **values: Any) -> str:
    text = (PROMPTS / f"{version}.txt").read_text(encoding="utf-8")
    return text.format(fence_open=FENCE_OPEN, fence_close=FENCE_CLOSE, **values)


def mix_in_words(mix: Mapping[str, float]) -> str:
    """Return shares of difficulties as words: "40 % easy, 40 % medium, 20 % hard"."""
    total = sum(mix.get(name, 0.0) for name in DIFFICULTIES)
    if not total:
        return "an even mix"
    shares = ((name, round(100 * mix.get(name, 0.0) / total)) for name in DIFFICULTIES)
    return ", ".join(f"{share} % {name}" for name, share in shares if share)


def fenced(text: str) -> str:
    """Return a text between fences that it cannot close: marks of a fence inside it are broken."""
    held = text
    for mark in (FENCE_CLOSE, FENCE_OPEN):
        while mark in held:  # breaking one can make another
            held = held.replace(mark, "SOURCE")
    return f"{FENCE_OPEN}\n{held}\n{FENCE_CLOSE}"


def response_format(config: QAConfig) -> dict[str, Any]:
    """Return the JSON schema that pairs must follow (OpenAI's ``response_format``)."""
    text = {"type": "string"}
    pair = _object(
        {
            "question": text,
            "answer": text,
            "quote": text,
            "category": {"type": "string", "enum": config.categories or ["general"]},
            "difficulty": {"type": "string", "enum": list(DIFFICULTIES)},
        }
    )
    return _format("pairs", _object({"pairs": {"type": "array", "items": pair}}))


def paraphrase_format() -> dict[str, Any]:
    """Return the JSON schema of other wordings."""
    texts = {"type": "array", "items": {"type": "string"}}
    return _format("wordings", _object({"questions": texts}))


def judge_format() -> dict[str, Any]:
    """Return the JSON schema of a verdict."""
    verdict = {"supported": {"type": "boolean"}, "reason": {"type": "string"}}
    return _format("verdict", _object(verdict))


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _format(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": name, "schema": schema}}
