"""A text as validation reads it: its words with what they stand for, and its parts.

*Statements* say something of their own; *clauses* are finer: what one "not" turns round.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from evqa.qa.grounding.bounds import Bounded
from evqa.qa.grounding.spelling import respelled
from evqa.qa.grounding.statements import STATEMENT_END, Statement, Tokens, statements
from evqa.qa.grounding.tokens import content_roots, spans, tokens, within

_CLAUSE_END = re.compile(
    r"[.!?,;:](?=\s|$)|\||\s\(|\)|\s\b(?:but|because|while|whereas|although|though|if|when|"
    r"unless|until|so|since|where|once|except|yet|which|who|that|whose|as|after|before)\b|"
    r"\sand\b",
    re.IGNORECASE,
)
_RELATION_END = re.compile(
    r"[.!?;,](?=\s|$)|:(?=\s)|"
    r",? \b(?:whereas|while|whilst|although|though|but|yet|so|because)\b"
)
_RANGE = re.compile(r"\bbetween (?:(?! and )[^,;]){1,30} and\b", re.IGNORECASE)
MAX_CACHED = 512


@dataclass(frozen=True, slots=True)
class Reading:
    """A text, read.

    Attributes:
        text: As it is respelled.
        tokens: Its words and amounts in order.
        statements: What says something of its own, with what it leaves out.
        parts: What statements are made of: sentences, and what stands between semicolons.
        clauses: The smallest parts; one "not" turns one of them round.
        relations: Larger ones, in which a word may relate two sides ("better than").
        amounts: Its amounts with their bounds.
        roots: What its content words stand for.
        plains: The base forms of its words.
    """

    text: str
    tokens: Tokens
    statements: tuple[Statement, ...]
    parts: tuple[Tokens, ...]
    clauses: tuple[Tokens, ...]
    relations: tuple[Tokens, ...]
    amounts: tuple[Bounded, ...]
    roots: frozenset[str]
    plains: frozenset[str]


@lru_cache(maxsize=MAX_CACHED)
def read(text: str) -> Reading:
    """Return what a text says, read once."""
    spelled = respelled(text)
    found = tuple(tokens(spelled))
    whole = _without_inner_joints(spelled, found)
    return Reading(
        text=spelled,
        tokens=found,
        statements=tuple(statements(whole, found)),
        parts=_divided(whole, found, STATEMENT_END),
        clauses=_divided(whole, found, _CLAUSE_END),
        relations=_divided(whole, found, _RELATION_END),
        amounts=tuple(token.amount for token in found if token.amount),
        roots=content_roots(found),
        plains=frozenset(token.plain for token in found),
    )


def _without_inner_joints(text: str, found: Tokens) -> str:
    """Return a text in which amounts and ranges hold no joint: "150 kW or more" is one."""
    for token in found:
        if token.amount:
            start, end = token.amount.start, token.amount.end
            text = f"{text[:start]}{'#' * (end - start)}{text[end:]}"
    return _RANGE.sub(lambda match: f"{match[0][:-4]}####", text)


def _divided(text: str, found: Tokens, joint: re.Pattern[str]) -> tuple[Tokens, ...]:
    """Return the tokens of the parts that a pattern divides a text into."""
    parts = (within(found, *span) for span in spans(text, 0, len(text), joint))
    return tuple(part for part in parts if part)
