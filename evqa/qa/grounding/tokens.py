"""The words and amounts of a text, each with what it stands for."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from evqa.qa.grammar import BE, MODALS
from evqa.qa.grounding.bounds import Bounded, bounded
from evqa.qa.grounding.meaning import BASES, FUNCTION_WORDS, LIGHT, PAST, THIRD, meant, plain
from evqa.qa.quantities import measured

# "Type 2" is one name, and so are "Option A", "IEC 62196-2" and "Vehicle-to-Grid".
_UNIT_NEXT = r"(?! ?(?:k?W|A|V|kWh|%|min|hours|km|million|per)\b)"
_WORD = re.compile(
    r"\b(?P<named>(?:(?:Types?|Levels?|Modes?|Class|Case|Stage|Phase|Zones?|Bands?|"
    r"Option|Groups?|Plan|Tier|Step|Deck|Article|Part|Annex|Version|Site|Route|Line|Method|"
    r"Model|types?|levels?|modes?|deck|article)[ -](?:[A-Z]{1,3}\d?|\d+(?:\.\d+)?)|"
    r"(?:option|class|group|zone|band|case|stage|plan|site|line|route|part)s? [A-Z])"
    rf"(?!\w|\.\d|%){_UNIT_NEXT})"
    r"|(?P<code>\b(?!(?:AC|DC|EUR|USD|GBP|VAT|SOC)\b)[A-Z]{2,}[ -]?\d+(?:[.-]\d+)*\b"
    rf"{_UNIT_NEXT})"
    r"|(?P<clock>\b\d{1,2}:\d\d\b)"
    r"|(?P<joined>\b(?i:non|off|on|mid|semi)-[A-Za-z]+|\b(?i:single|one|three|two)[- ]phase\b|"
    r"\b[A-Z]\w*(?:-[a-z]+)*-[A-Z]\w*)"
    r"|(?P<letter>(?<=[a-z%\d,] )A(?= [a-z]|[.?]|$)|\b[B-Z]\b(?![-'’&]))"
    r"|(?P<word>[^\W\d_]+(?:['’][^\W\d_]+)?\d*|\d+[^\W\d_]+\w*)",
)
_OTHER_LETTER = re.compile(r"\b[B-H]\b")  # beside it, "A" is a name and no article
_NAME = re.compile(r"[A-Z]\w*[A-Z\d]\w*|[A-Z][a-z]+")
_AUXILIARIES = frozenset({"has", "have", "had", "do", "does", "did"})
_KINDS = {
    "s": "time", "month": "time", "eur": "money", "usd": "money", "gbp": "money",
    "cent": "money", "m": "length", "ft": "length", "mile": "length",
}  # fmt: skip
_YEARS = range(1900, 2101)
_MONTHS = (
    "January|February|March|April|Maytime|May|June|July|August|September|October|November|December"
)
_MONTH_NEXT = re.compile(rf"(?:st|nd|rd|th)? (?:of )?(?:{_MONTHS})\b")
_MONTH_BEFORE = re.compile(rf"\b(?:{_MONTHS}) $")
_DATE = " date"


@dataclass(frozen=True, slots=True)
class Token:
    """A word or an amount where it stands.

    Attributes:
        text: As it is written, in lower case.
        plain: Its base form.
        root: What it stands for; an amount's is ``#value unit``.
        start: Where it begins.
        end: Where it ends.
        is_name: Whether it is written like a name.
        amount: The amount that it is, with its bound; null for a word.
        is_content: Whether it carries content: no article, no preposition, no form of be.
    """

    text: str
    plain: str
    root: str
    start: int
    end: int
    is_name: bool
    amount: Bounded | None
    is_content: bool

    @property
    def is_heavy(self) -> bool:
        """Whether it says something that must come from somewhere."""
        return self.is_content and self.amount is None and self.plain not in LIGHT


def tokens(text: str) -> list[Token]:
    """Return words and amounts in order; a bound ("at least") belongs to its amount."""
    words = list(_WORD.finditer(text))
    names = [match.span() for match in words if match.lastgroup in ("named", "code", "joined")]
    names += [match.span() for match in words if match.lastgroup == "clock"]
    amounts = [one for one in bounded(text) if not _is_inside(one.mention.start, names)]
    spans = [(amount.start, amount.end) for amount in amounts]
    found = [_amount(text, amount) for amount in amounts]
    found += [_word(match) for match in words if not _is_inside(match.start(), spans)]
    return sorted(found, key=lambda token: token.start)


def _is_inside(place: int, spans: list[tuple[int, int]]) -> bool:
    return any(start <= place < end for start, end in spans)


def _amount(text: str, amount: Bounded) -> Token:
    same = measured(amount.quantity)
    root = f"#{same.value:f} {same.unit}".rstrip()
    start, end = amount.mention.start, amount.mention.end
    if not same.unit and (_MONTH_NEXT.match(text, end) or _MONTH_BEFORE.search(text[:start])):
        root += _DATE if same.value not in _YEARS else ""
    return Token(text[start:end].lower(), root, root, start, end, False, amount, True)


def _word(match: re.Match[str]) -> Token:
    lower = match[0].lower().replace("’", "'").removesuffix("'s").rstrip("'")
    name = _name(match, lower)
    base, root = (plain(name), plain(name)) if name else (plain(lower), meant(lower))
    is_name = match.lastgroup in ("named", "code", "letter") or _is_capitalised(match)
    lower = name or lower
    is_content = lower not in FUNCTION_WORDS
    return Token(lower, base, root, match.start(), match.end(), is_name, None, is_content)


def _name(match: re.Match[str], lower: str) -> str:
    """Return the one spelling of a name of several parts, empty for an ordinary word."""
    if match.lastgroup == "named":
        head, _, number = lower.replace("-", " ").partition(" ")
        is_letter = len(number) == 1 and number.isalpha()
        return f"~{number}" if is_letter else f"{head.removesuffix('s')}{number}"
    if match.lastgroup in ("code", "joined"):
        return re.sub("[- ]", "", lower).replace("onephase", "singlephase")
    is_letter = match.lastgroup == "letter"
    return f"~{lower}" if is_letter and _stands_for_itself(match) else ""


def _stands_for_itself(match: re.Match[str]) -> bool:
    """Tell whether a single letter is a name: "A" only beside others, or at an end."""
    is_last = not match.string[match.end() :].strip(" .?!")
    return match[0] != "A" or is_last or bool(_OTHER_LETTER.search(match.string))


def _is_capitalised(match: re.Match[str]) -> bool:
    """Tell whether a word is written like a name, and not only begins its sentence."""
    if not _NAME.fullmatch(match[0]):
        return False
    before = match.string[: match.start()].rstrip()
    begins = not before or before[-1] in ".!?:"
    return not (begins and match[0][1:].islower())


def kind_of(token: Token) -> str:
    """Return of which kind an amount is: time, money, a unit, a date, a year, or a bare number."""
    if token.amount is None:
        return ""
    same = measured(token.amount.quantity)
    if token.root.endswith(_DATE):
        return "date"
    if not same.unit and "," not in token.text and same.value in _YEARS:
        return "year"
    return _KINDS.get(same.unit, same.unit) or "number"


def is_auxiliary(token: Token) -> bool:
    """Tell whether a word is a form of be, have or do, or a modal."""
    return token.text in BE or token.text in MODALS or token.text in _AUXILIARIES


def is_finite(token: Token) -> bool:
    """Tell whether a word is surely the verb of a sentence: is, must, has, draws."""
    return is_auxiliary(token) or token.text in THIRD


def is_verb(token: Token) -> bool:
    """Tell whether a word is an inflected verb: draws, drew, is, must."""
    return is_finite(token) or token.text in PAST


def is_any_verb(token: Token) -> bool:
    """Tell whether a word may be a verb, in any form."""
    return is_verb(token) or token.text in BASES


def content_roots(found: tuple[Token, ...]) -> frozenset[str]:
    """Return what the content words and amounts among tokens stand for."""
    return frozenset(token.root for token in found if token.is_content)


def within(found: tuple[Token, ...], start: int, end: int) -> tuple[Token, ...]:
    """Return the tokens that begin between two places of their text."""
    return tuple(token for token in found if start <= token.start < end)


def spans(text: str, start: int, end: int, joint: re.Pattern[str]) -> Iterator[tuple[int, int]]:
    """Yield where the parts between the joints of a text begin and end; joints stay."""
    begins = start
    for match in joint.finditer(text, start, end):
        yield begins, match.start()
        begins = match.start()
    yield begins, end
