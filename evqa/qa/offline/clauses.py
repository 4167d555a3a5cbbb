"""Find subject, verb and the rest in a sentence, where that is plain; else give nothing."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from evqa.qa.grammar import BASES, BE, MODALS, PAST, THIRD, is_plural
from evqa.qa.offline.finite import ADVERBS, ALSO_NOUNS, verb_position
from evqa.qa.offline.subjects import is_subject, is_surely_plural, may_be_many
from evqa.qa.offline.vocabulary import Vocabulary, lower_first

_LEAD = re.compile(
    r"(?P<lead>(?:In|At|On|For|With|Since|Under|During|From|By|Between|Before|After|Without|Until|"
    r"Outside|Inside|Within|Over|Behind|Through|Throughout|Across|Among|As of|Upon|As part of|"
    r"Due to|Because of|Thanks to|Despite|According to|To|Based on|As a result of|Prior to|"
    r"Beyond|Along with|Unlike|Besides|In case of|Instead of) "
    r"(?:[^,;:]|,(?=\d)){2,80}), (?P<rest>\S.*)$"
)
_MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
_CONTRAST = re.compile(r"(?:While|Although|Though|Whereas|Even though) [^,;:]{8,90}, (?=\S)")
_DATED_LEAD = re.compile(
    r"(?P<lead>(?:In|By|Since|On|At|From|Until) (?:the (?:end|start|beginning) of |"
    rf"(?:\d{{1,2}} )?(?:{_MONTHS}) )?(?:19|20)\d\d|(?:At|On) \d[\d.,]* ?(?:V|kW|A|%)|"
    r"In (?:Mode|Case|Level) \w+|(?:In|On|For) [A-Z][\w-]+|On the \w+ (?:network|side)|"
    r"On (?:one|three|two) phases?) (?P<rest>(?:a|an|the|each|every|[A-Z0-9]|there)\b.*)$"
)
_CONNECTIVE = re.compile(
    r"^(?:so|but|and|yet|also|thus|therefore|however|moreover|in practice|in short|as a rule|"
    r"as a result|in other words|that is why|of course|for example|on average|in addition(?! to)|"
    r"additionally|furthermore|for instance|specifically|similarly|finally|overall|collectively|"
    r"in general|generally|in particular|notably|importantly|in contrast|by contrast|in turn|"
    r"as such|for this reason|however|therefore|currently|recently|today|typically|"
    r"hence|consequently|accordingly|basically|note that|please note that|"
    r"[a-z]+ly(?=,)|on the other hand|on the one hand|first|second|third|lastly|indeed),? (?=\S)",
    re.IGNORECASE,
)
_CHANGING_TEXT = "never not hardly seldom rarely still even only"
_JOINTS = re.compile(r"; (?:and |but |yet )?|, (?:and|but|while|whereas|yet|so) |: ")
# Adverbs that a question cannot leave out, or that point at the sentence before.
_CHANGING = frozenset(_CHANGING_TEXT.split())
_PHRASAL = re.compile(
    r"(?P<particles>up to|out at|down to|in at|at|to|of|for|from|on) "
    r"(?=(?:about |around |at least |at most |only |almost |nearly |just |over )?[€$£]?\d)"
)
_NO_OBJECT = frozenset({"", "been", "had", "to", "until", "never", "not", "yet"})
_HAVE = {"has": "does", "have": "do", "had": "did"}
_OF_MANY, _OF_ONE = frozenset({"are", "were", "have"}), frozenset({"is", "was", "has"})
_PARTICIPLES_TEXT = """
seen done gone taken given grown risen fallen driven shown written begun known drawn become come
undergone led built made put set met kept held left lost sent spent sold bought brought found
chosen overcome broken spoken worn
"""
_PARTICIPLES = frozenset(_PARTICIPLES_TEXT.split())
_ALSO_QUALITIES = frozenset(
    ["open", "complete", "separate", "secure", "lower", "own", "present", "express", "live"]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    """A plain statement.

    Attributes:
        text: The clause as it stands, without its full stop.
        lead: What stands before the subject ("in Britain"), for the end of the question.
        subject: As it is written inside a sentence.
        auxiliary: What a question begins with after its question word: does, is, must…
        verb: The base form after the auxiliary; empty for forms of be.
        rest: What follows the verb.
    """

    text: str
    lead: str
    subject: str
    auxiliary: str
    verb: str
    rest: str

    @property
    def is_past(self) -> bool:
        """Whether it tells of the past."""
        return self.auxiliary in ("did", "was", "were")


def clauses(sentence: str, vocabulary: Vocabulary) -> Iterator[Clause]:
    """Yield the plain statements of a sentence: the whole, or its coordinated parts."""
    body = sentence.strip().rstrip(".!")
    for part in _parts(body):
        found = parse_clause(part, vocabulary)
        if found is not None:
            yield found


def _parts(body: str) -> list[str]:
    """Return the coordinated parts of a sentence, each with what belongs to it."""
    pieces = [piece for piece in _JOINTS.split(body) if piece]
    joints = [*_JOINTS.findall(body), ""]
    parts: list[str] = []
    current = ""
    for piece, joint in zip(pieces, joints, strict=False):
        current += piece
        following = pieces[pieces.index(piece) + 1] if joint else ""
        if joint and not _begins_clause(following):
            current += joint
            continue
        parts.append(current)
        current = ""
    return parts


def _begins_clause(text: str) -> bool:
    """Tell whether words begin a clause of their own, with its subject, known or a pronoun."""
    if re.match(r"(?:it|they|there|this|that|these|he|she|we|you|nobody|nothing)\b", text, re.I):
        return True
    return parse_clause(text[:1].upper() + text[1:], Vocabulary()) is not None


def without_connective(text: str) -> str:
    """Return a sentence without what ties it to the one before: "However, …"."""
    return _CONNECTIVE.sub("", text)


def is_statement(text: str) -> bool:
    """Tell whether words say something, with a verb of their own, and name no mere thing."""
    return verb_position(text.rstrip(".!").split()) is not None


def parse_clause(text: str, vocabulary: Vocabulary) -> Clause | None:
    """Return the clause that a text is, or null when its form is not plain."""
    text = _CONTRAST.sub("", text.strip())
    text = text[:1].upper() + text[1:]
    body = without_connective(text)
    body = body[:1].upper() + body[1:]
    lead, body = _split_lead(body)
    words = body.split()
    position = verb_position(words)
    if position is None:
        return None
    subject = " ".join(words[:position])
    while words[position - 1].lower() in ADVERBS and position > 1:
        position -= 1
        subject = " ".join(words[:position])
    first = words[0].lower()
    is_fragment = THIRD.get(first, "use") not in ALSO_NOUNS  # "Defines how …"
    # "Assume functions called … may run": an order, and no subject.
    is_fragment = is_fragment or (first in BASES - ALSO_NOUNS - _ALSO_QUALITIES and position > 1)
    if is_fragment or not is_subject(subject):
        return None
    subject = lower_first(subject, vocabulary)
    if vocabulary.lacks_article(subject):
        return None
    return _with_verb(text, lead, subject, words[position:])


def _split_lead(body: str) -> tuple[str, str]:
    """Return what leads a clause ("in Britain"), and the clause from its subject on."""
    for pattern in (_DATED_LEAD, _LEAD):
        match = pattern.match(body)
        if match and verb_position(match["lead"].split()) is None:
            lead, rest = match["lead"], match["rest"]
            return lead[0].lower() + lead[1:], rest[:1].upper() + rest[1:]
    return "", body


def _with_verb(text: str, lead: str, subject: str, words: list[str]) -> Clause | None:
    skipped = {word.lower() for word in words[:3]} & ADVERBS
    kept = [word for word in words[:3] if word.lower() not in skipped] + words[3:]
    if not kept or skipped & _CHANGING:
        return None
    found = _verb_forms(kept, subject)
    if found is None:
        return None
    auxiliary, verb, rest = found
    if auxiliary in _OF_MANY and not may_be_many(subject):  # "Common are", "China have"
        return None
    if re.match(r"(?:and|or) ", rest):  # "enables or disables"
        return None
    if auxiliary in _OF_ONE and is_surely_plural(subject):
        return None
    verb, rest = _with_particle(verb, rest)
    return Clause(text=text, lead=lead, subject=subject, auxiliary=auxiliary, verb=verb, rest=rest)


def _verb_forms(words: list[str], subject: str) -> tuple[str, str, str] | None:
    """Return auxiliary, base form and the rest; null for forms that no rule can ask for."""
    verb, rest = words[0].lower(), " ".join(words[1:])
    auxiliary, base = _question_form(verb, subject)
    if auxiliary == "modal":
        modal = "must" if verb == "shall" else verb
        return (modal, words[1].lower(), " ".join(words[2:])) if len(words) > 1 else None
    first = rest.split()[0].lower() if rest else ""
    second = rest.split()[1].lower() if len(rest.split()) > 1 else ""
    is_perfect = first in PAST or first in _NO_OBJECT or first.endswith(("ed", "ly"))
    is_perfect = (
        is_perfect
        or first in _PARTICIPLES
        or (first in ("all", "both", "each") and second in PAST)
    )
    if base != "have" or not is_perfect:
        return auxiliary, base, rest
    # "has applied since": has asks, as a form of be does.
    is_askable = first in PAST or first == "been" or first.endswith("ed")
    return (verb, "", rest) if verb != "had" and is_askable else None


def _with_particle(verb: str, rest: str) -> tuple[str, str]:
    """Take the preposition before an amount to its verb: "stop at", "add up to"."""
    match = _PHRASAL.match(rest) if verb else None
    if match and (match["particles"] != "up to" or verb in ("add", "go", "come")):
        return f"{verb} {match['particles']}", rest[match.end() :]
    return verb, rest


def _question_form(verb: str, subject: str) -> tuple[str, str]:
    """Return the auxiliary of a question, and the base form of the verb after it."""
    if verb in BE:
        return verb, ""
    if verb in MODALS:
        return "modal", verb
    if verb in _HAVE:
        return _HAVE[verb], "have"
    if verb in THIRD:
        return "does", THIRD[verb]
    is_amount = subject[0].isdigit() or subject[0] in "€$£"
    is_present = verb in BASES and (is_plural(subject) or is_amount)
    return ("do", verb) if is_present else ("did", PAST.get(verb, verb))
