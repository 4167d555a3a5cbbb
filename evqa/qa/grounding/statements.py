"""The parts of a text that say something of their own, with what they leave out.

"Members pay $0.36 per kWh and a monthly fee of $7.99; guests pay $0.48" has three statements. The
second leaves out what the first one says: that members pay.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from evqa.qa.grounding.meaning import opposites
from evqa.qa.grounding.tokens import (
    Token,
    content_roots,
    is_any_verb,
    is_auxiliary,
    is_finite,
    is_verb,
    kind_of,
    spans,
    within,
)

Tokens = tuple[Token, ...]

STATEMENT_END = re.compile(
    r"\||[.!?](?=\s+[\"“(]?[A-Z\d])|;|:(?=\s)|"
    r",? \b(?:whereas|while|whilst|although|though|but|yet)\b|,? \bcompared with\b"
)
_ITEM_END = re.compile(r", (?:and |or )?| and | or | plus |(?<=\w) \((?=\w)")
_LEADING_TEXT = "in at on for with since under during from of by between to per as"
_LEADING = frozenset(_LEADING_TEXT.split())
_POINTING_TEXT = "it they this these both such its their he she which who each"
_POINTING_FIRST = frozenset(_POINTING_TEXT.split())
_POINTING_EARLY_TEXT = """
it they this these both such its their he she remaining others rest remainder latter
"""
_POINTING_EARLY = frozenset(_POINTING_EARLY_TEXT.split())
_POINTING_ITEM_TEXT = "it they its their them one ones those that"
_POINTING_ITEM = frozenset(_POINTING_ITEM_TEXT.split())
_SUBORDINATING_TEXT = "because which who that since so if when as where"
_SUBORDINATING = frozenset(_SUBORDINATING_TEXT.split())
_CONDITIONS = frozenset({"if", "when", "while", "once", "because", "unless", "whenever"})
_JOINTS = frozenset({"and", "or", "but", "so", "while", "whereas"})
EARLY_WORDS = 4


@dataclass(frozen=True, slots=True)
class Statement:
    """A part of a text that says something of its own.

    Attributes:
        tokens: Its words and amounts.
        shared: Those it leaves out, since an earlier part of the text says them.
        points_back: Whether it speaks of what was said before: "it", "both".
        roots: What its content words stand for.
        plains: The base forms of its words.
        shared_roots: What the content words stand for that it leaves out.
    """

    tokens: Tokens
    shared: Tokens
    points_back: bool
    roots: frozenset[str]
    plains: frozenset[str]
    shared_roots: frozenset[str]


def statements(text: str, found: Tokens) -> Iterator[Statement]:
    """Yield the statements of a text in order.

    Args:
        text: In which amounts hold no joints.
        found: Its tokens.
    """
    previous: Tokens = ()
    lead: Tokens = ()
    for start, end in spans(text, 0, len(text), STATEMENT_END):
        part = within(found, start, end)
        if not part:
            continue
        is_sentence = not text[:start].strip() or text[start] in ".!?"
        own_lead = _lead(text, part)
        lead = own_lead if is_sentence else lead
        head = _head(part, previous, () if is_sentence else lead)
        for number, (piece, shared) in enumerate(_items(text, part, start, end)):
            left_out = (*head, *(own_lead if number else ()), *shared)
            yield Statement(
                tokens=piece,
                shared=left_out,
                points_back=bool(head) and head == previous,
                roots=content_roots(piece),
                plains=frozenset(token.plain for token in piece),
                shared_roots=content_roots(left_out),
            )
        previous = (*head, *part)


def _head(part: Tokens, previous: Tokens, lead: Tokens) -> Tokens:
    """Return what a part of a sentence takes over from the part before it."""
    early = {token.text for token in part[:EARLY_WORDS]}
    if early & _POINTING_EARLY or part[0].text in _POINTING_FIRST or is_verb(_first(part)):
        return previous
    joint = next((n for n, token in enumerate(part) if n and token.text in _SUBORDINATING), None)
    if previous and not any(map(is_any_verb, part[:joint])):  # "but only 6 % on the roof"
        return _left_out([previous], part)
    return lead


def _lead(text: str, sentence: Tokens) -> Tokens:
    """Return what leads a sentence and holds for all of it: "In 2024, …"."""
    is_clause = sentence[0].text in _CONDITIONS
    if sentence[0].text not in _LEADING and not is_clause:
        return ()
    comma = text.find(", ", sentence[0].start)
    lead = tuple(token for token in sentence if token.start < comma)
    is_all = len(lead) == len(sentence)
    return () if is_all or (not is_clause and any(map(is_verb, lead))) else lead


def _items(text: str, part: Tokens, start: int, end: int) -> Iterator[tuple[Tokens, Tokens]]:
    """Yield the items of a list, each with what it leaves out."""
    merged: list[Tokens] = []
    for span in spans(text, start, end, _ITEM_END):
        piece = within(part, *span)
        if merged and not _is_item(merged[-1], piece):
            merged[-1] += piece
        elif piece:
            merged.append(piece)
    for number, piece in enumerate(merged):
        yield piece, _left_out(merged[:number], piece)


def _left_out(before: list[Tokens], piece: Tokens) -> Tokens:
    """Return what an item leaves out because an earlier one says it."""
    if not before:
        return ()
    if any(token.text in _POINTING_ITEM for token in piece):
        return before[-1]
    first = next((one for one in reversed(before) if any(map(is_finite, one))), before[0])
    verb = next((n for n, token in enumerate(first) if n and is_any_verb(token)), len(first))
    if _begins_with_verb(piece):  # the subject
        return first[:verb] if verb < len(first) else _until_amount(first, "")
    begins = next((n for n, token in enumerate(piece) if token.amount), len(piece))
    if _first(piece).text in _LEADING and begins > 1:  # "and in fast mode 20"
        excluded = frozenset[str]().union(*(opposites(token.plain) for token in piece))
        return tuple(t for t in first if not t.amount and t.plain not in excluded)
    is_object = begins > 0 and piece[begins - 1].text == "of"  # "and a monthly fee of $7.99"
    if not is_object and any(token.is_content for token in piece[:begins]):  # its own subject
        return tuple(token for token in first[verb:] if not token.amount)
    return _until_amount(first, kind_of(piece[begins]) if begins < len(piece) else "")


def _begins_with_verb(piece: Tokens) -> bool:
    """Tell whether an item goes on with a verb: "and close on 30 June"."""
    second = piece[2] if len(piece) > 2 else piece[-1]
    is_base = is_any_verb(_first(piece)) and not second.is_content
    return is_base or is_verb(_first(piece))


def _until_amount(piece: Tokens, kind: str) -> Tokens:
    for number, token in enumerate(piece):
        if token.amount and kind in ("", kind_of(token)):
            return piece[:number]
    return piece


def _is_item(before: Tokens, piece: Tokens) -> bool:
    """Tell whether words go on with a list: an amount and more, or a verb of their own."""
    if not piece:
        return False
    num_content = sum(token.is_content for token in piece)
    if num_content > 1 and is_verb(_first(piece)):
        is_told = is_verb if is_auxiliary(_first(piece)) else is_any_verb
        # Else the subject still waits for its verb: "the share of all cars, 24 %, was high".
        return is_verb(_first(before)) or any(map(is_told, before[1:]))
    if num_content > 1 and _has_own_clause(piece, before):
        return True
    if kind_of(before[-1]) == kind_of(_first(piece)) == "number":
        return False  # "two or three chargers"
    amounts = [token for token in piece if token.amount]
    has_words = num_content > len(amounts) or len(amounts) > 1
    kinds = {kind_of(token) for token in before if token.amount}
    return has_words and any(kind_of(token) in kinds for token in amounts)


def _first(piece: Tokens) -> Token:
    """Return the first word of a piece after the joint that it begins with."""
    return piece[1] if piece[0].text in _JOINTS and len(piece) > 1 else piece[0]


def _has_own_clause(piece: Tokens, before: Tokens) -> bool:
    """Tell whether a piece has a subject and a verb, as the one before it has."""
    if piece[0].text not in ("and", "so", "or") or not any(map(is_auxiliary, before)):
        return False
    return any(map(is_auxiliary, piece[2:]))
