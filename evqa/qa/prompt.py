"""Build the messages that ask an LLM for pairs: fenced sources, prompts in versioned files."""

from pathlib import Path
from typing import Any

from evqa.config.data import QAConfig
from evqa.qa.candidate import DIFFICULTIES, Passage

VERSION = "generate_v1"
FENCE_OPEN, FENCE_CLOSE = "<<<SOURCE", "SOURCE>>>"
PROMPTS = Path(__file__).parent / "prompts"


def messages_for(passage: Passage, config: QAConfig) -> list[dict[str, str]]:
    """Return the chat messages for one passage."""
    categories = config.categories or ["general"]
    system = (PROMPTS / f"{VERSION}.txt").read_text(encoding="utf-8")
    filled = system.format(
        fence_open=FENCE_OPEN,
        fence_close=FENCE_CLOSE,
        num_pairs=config.max_pairs_per_chunk,
        categories=", ".join(categories),
        example_category=categories[0],
    )
    return [{"role": "system", "content": filled}, {"role": "user", "content": fenced(passage)}]


def fenced(passage: Passage) -> str:
    """Return a passage between fences that its text cannot close."""
    text = passage.chunk.text.replace(FENCE_CLOSE, "SOURCE").replace(FENCE_OPEN, "SOURCE")
    title = " ".join(passage.document.title.split()).replace(FENCE_CLOSE, "SOURCE")
    headings = " > ".join(passage.chunk.headings).replace(FENCE_CLOSE, "SOURCE")
    return f"{FENCE_OPEN}\nTitle: {title}\nSection: {headings}\n\n{text}\n{FENCE_CLOSE}"


def response_format(config: QAConfig) -> dict[str, Any]:
    """Return the JSON schema that the answer must follow (OpenAI's ``response_format``)."""
    text = {"type": "string"}
    properties = {
        "question": text,
        "answer": text,
        "quote": text,
        "category": {"type": "string", "enum": config.categories or ["general"]},
        "difficulty": {"type": "string", "enum": list(DIFFICULTIES)},
    }
    pair = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    schema = {
        "type": "object",
        "properties": {"pairs": {"type": "array", "items": pair}},
        "required": ["pairs"],
        "additionalProperties": False,
    }
    return {"type": "json_schema", "json_schema": {"name": "pairs", "schema": schema}}
