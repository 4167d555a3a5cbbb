"""Who does it to whom: does an answer exchange the two sides of a relation?

"A performed better than B" against "B … better than A"; AC into DC against DC into AC.
"""

from collections.abc import Iterator

from evqa.qa.grammar import BE, MODALS
from evqa.qa.grounding.meaning import BASES, PAST, THIRD, opposites
from evqa.qa.grounding.reading import Reading
from evqa.qa.grounding.tokens import Token, is_finite

_RELATIONS = frozenset({"than", "into", "before", "after", "instead", "over", "under", "behind"})
_PREPOSITIONS = frozenset(
    ["of", "for", "in", "on", "at", "against", "with", "by", "from", "under", "over"]
)
# Here one side that moved is enough: "the others" may stand for the other.
_COMPARING = frozenset({"than", "as much as"})
_NO_COMPARISON = frozenset({"long", "soon", "well", "far"})
# Verbs whose two sides may change places.
_SYMMETRIC_TEXT = """
compare differ equal meet match connect link share combine communicate be have do
"""
_SYMMETRIC = frozenset(_SYMMETRIC_TEXT.split())


def exchanged(answer: Reading, source: Reading, asked: Reading) -> str | None:
    """Return the relation whose two sides an answer exchanges, null for none."""
    turned = {(two, one) for one, two in _spans(source)} & set(_spans(answer))
    if turned:
        return "its amounts are exchanged"
    for clause in answer.relations:
        for number, token in enumerate(clause):
            pivot = _pivot(clause, number)
            left, right = _sides(clause, number)
            if number == 0 and not left:  # "Before it is used": the question has the other side
                left = asked.roots - right
            if pivot and _is_exchanged(clause, (left, right), pivot, source):
                return f"the two sides of {token.text!r} are exchanged"
    return None


def _spans(text: Reading) -> Iterator[tuple[str, str]]:
    """Yield the amounts that something changes from and to."""
    tokens = text.tokens
    for number, token in enumerate(tokens[:-2]):
        after = next((t for t in tokens[number + 1 : number + 4] if t.amount), None)
        is_from = number and tokens[number - 1].text == "from"
        if token.amount and after and is_from and tokens[number + 1].text in ("to", "into"):
            yield token.root, after.root


def _pivot(clause: tuple[Token, ...], number: int) -> str:
    """Return the relation that a word states, empty for none."""
    token = clause[number]
    if token.text in _RELATIONS:
        return token.text
    if (
        token.text == "as"
        and clause[number - 1].text not in _NO_COMPARISON
        and any(t.text == "as" for t in clause[max(0, number - 3) : number])
    ):
        return "as much as"
    is_verb = token.text in THIRD or (token.text in PAST and not _is_passive(clause, number))
    if number:
        before = clause[number - 1]
        is_verb = is_verb or (token.text in BASES and _takes_base(before))
        is_verb = is_verb or (before.text in MODALS and token.is_content)
    return token.root if is_verb and token.plain not in _SYMMETRIC else ""


def _takes_base(token: Token) -> bool:
    """Tell whether a word comes before a verb's base form: may, to, or a plural."""
    return token.text in MODALS or token.text in ("to", "not") or token.text.endswith("s")


def _is_passive(clause: tuple[Token, ...], number: int) -> bool:
    before = {token.text for token in clause[max(0, number - 3) : number]}
    return bool(before & (set(BE) | {"be", "been", "being", "get", "gets"}))


def _is_exchanged(
    clause: tuple[Token, ...],
    sides: tuple[frozenset[str], frozenset[str]],
    pivot: str,
    source: Reading,
) -> bool:
    left, right = sides
    for other in source.relations:
        for place in range(len(other)):
            if _pivot(other, place) != pivot:
                continue
            theirs_left, theirs_right = _sides(other, place)
            is_crossed = any if pivot in _COMPARING else all
            if is_crossed(_crossed(left, right, theirs_left, theirs_right)) and not _turned(
                clause, other
            ):
                return True
    return False


def _sides(clause: tuple[Token, ...], number: int) -> tuple[frozenset[str], frozenset[str]]:
    def content(tokens: tuple[Token, ...]) -> frozenset[str]:
        return frozenset(token.root for token in tokens if token.is_content and not token.amount)

    return content(clause[:number]), content(clause[number + 1 :])


def _crossed(
    left: frozenset[str],
    right: frozenset[str],
    theirs_left: frozenset[str],
    theirs_right: frozenset[str],
) -> tuple[bool, bool]:
    """Tell whether what stands left here stands only right there, and the other way round."""
    moved_right = (left - right) & (theirs_right - theirs_left)
    moved_left = (right - left) & (theirs_left - theirs_right)
    return bool(moved_right), bool(moved_left)


def _turned(clause: tuple[Token, ...], other: tuple[Token, ...]) -> bool:
    """Tell whether an opposite makes up for the exchange: more than, less than."""
    ours = {token.plain for token in clause}
    theirs = {token.plain for token in other}
    return any(opposites(word) & (theirs - ours) for word in ours - theirs)


def attached_elsewhere(answer: Reading, source: Reading, asked: Reading) -> str | None:
    """Return the word of an answer that its source joins to another by the same preposition.

    "The drivers against misuse" where the source insures "the equipment against misuse".
    """
    if any(map(is_finite, answer.tokens)):
        return None
    theirs: dict[tuple[str, str], set[str]] = {}
    for head, preposition, rest in _joined(source):
        theirs.setdefault((preposition, rest), set()).add(head)
    for head, preposition, rest in _joined(answer):
        heads = theirs.get((preposition, rest))
        is_other = heads and head not in heads and not heads & (answer.roots | asked.roots)
        if is_other and head in source.roots and head not in asked.roots:
            return f"{head!r} {preposition} {rest!r} is not what the quote joins"
    return None


def _joined(text: Reading) -> Iterator[tuple[str, str, str]]:
    """Yield the words that a preposition joins."""
    words = [
        token for token in text.tokens if token.text not in ("the", "a", "an", "its", "their")
    ]
    for one, two, three in zip(words, words[1:], words[2:], strict=False):
        is_joined = one.is_heavy and three.is_heavy and not one.text.endswith("ly")
        if is_joined and two.text in _PREPOSITIONS:
            yield one.root, two.text, three.root
