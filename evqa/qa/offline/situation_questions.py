"""Questions about situations: what happens if, what must be done when, when, why, by how much.

Their answer is the whole sentence: a condition without its consequence, or the other way round,
says nothing.
"""

import re
from collections.abc import Iterator

from evqa.qa.grammar import BASES, BE, MODALS, PAST, POINTING, THIRD
from evqa.qa.offline.asked import Asked
from evqa.qa.offline.clauses import Clause
from evqa.qa.offline.numeric_questions import BOUNDARY, amount_of, question, tail, trailing
from evqa.qa.quantities import mentions

MIN_CONDITION_WORDS, MAX_CONDITION_WORDS = 4, 18
_LEADING = re.compile(
    r"(?P<lead>If|When|Whenever|Once|As soon as|After) (?P<cond>[^,;:()]{12,130}), "
    r"(?:then )?(?P<main>[^\s].{10,})$"
)
_DUTY = re.compile(
    r"(?P<subject>(?:the|a|an|each|every) [\w/ -]{3,40}?|"
    r"[A-Z][\w./-]+(?: [A-Z][\w./-]+){0,3}|you) "
    r"(?P<modal>must|shall|should|can|may|will|needs? to|ha(?:s|ve) to) "
    r"(?P<negated>not )?(?P<verb>[a-z]+)\b",
    re.IGNORECASE,
)
_TRAILING = re.compile(r",? (?P<lead>when|as soon as|if|whenever|provided that) (?=\w)")
_REASON = re.compile(
    r"(?:,? (?:because|owing to|in order to|so that|as a result of|thanks to)|, since|"
    r"(?<!\bis)(?<!\bare)(?<!\bwas)(?<!\bbe),? due to) "
    r"(?=(?:the|a|an|its|their|this)?\s?[a-z])"
)
_BY = re.compile(r"(?:more than |only )?by (?=(?:about |around |almost |over |more than |nearly |"
                 r"roughly |approximately |up to |at least )?[€$£]?\d)")  # fmt: skip
CHANGES = frozenset(
    [
        "increase",
        "grow",
        "rise",
        "fall",
        "decrease",
        "decline",
        "drop",
        "expand",
        "shrink",
        "improve",
        "reduce",
        "cut",
        "raise",
    ]
)
_LEVELS = frozenset(["reach", "exceed", "total", "surpass", "hit", "average"])
_SHARE = re.compile(
    r"for (?:about |around |almost |over |more than |nearly |roughly |only |just |less than )?"
    r"(?P<share>\d[\d.,]* ?(?:%|percent|per cent)) of (?P<whole>(?:the |all |new |global )?"
    r"[\w-]+(?: [\w-]+){0,3}?)(?P<after>(?: (?:in|by|at|during|worldwide)\b.*)?)$"
)
_VAGUE_CONDITION = re.compile(
    r"^(?:it|that|there|so|not|needed|necessary|possible|applicable|available|required|any|all|"
    r"asked|in doubt|available)\b|\bcan\b|\bis considered\b|\b(?:done|do|does|did|know) that\b|"
    r"\b(?:i|we|he|she|my|our|your|following|latter|former|so far)\b",
    re.IGNORECASE,
)


def leading_condition(sentence: str) -> Iterator[Asked]:
    """Ask about "If X, Y" and its kin: what happens, or what somebody must do, if X."""
    match = _LEADING.match(sentence.strip().rstrip(".!"))
    if match is None or not is_condition(match["cond"]) or not _is_main(match["main"]):
        return
    lead, condition = match["lead"].lower(), match["cond"].strip()
    main = match["main"]
    duty = _DUTY.match(main)
    first = main.split()[0].lower()
    if duty and not POINTING.search(duty["subject"]) and duty["verb"].lower() in BASES:
        yield Asked(_of_duty(duty, lead, condition), "duty", "medium")
    elif first in _LOOKING_UP:
        return
    elif first in BASES and first not in THIRD:
        yield Asked(f"What should be done {lead} {condition}?", "instruction", "medium")
    elif not _is_past(condition):
        yield Asked(f"What happens {lead} {condition}?", "condition", "medium")
    elif lead != "if":
        yield Asked(f"What happened {lead} {condition}?", "condition", "medium")


_LOOKING_UP = frozenset({"see", "refer", "read", "visit", "contact", "consult", "check"})


def _is_past(condition: str) -> bool:
    """Tell whether the verb of a condition is in the past, and no participle after "is"."""
    words = condition.lower().split()
    present = {"cannot", "do", "does", "doesn’t", "don’t", *BE, *MODALS, *THIRD}
    is_present = not present.isdisjoint(words)
    return not is_present and any(w in PAST for w in words) and not {"has", "have"} & {*words}


_LISTED = re.compile(r"(?:[a-z]+ed|or|and|lost|sent|made)\b|[^,]{1,60}\b(?:or|and) [^,]+, ")
_OF_THE_TEXT = re.compile(
    r"\b(?:this (?:parameter|view|setting|value|option|function|variable|field|message|chapter)|"
    r"we)\b"
)


def _is_main(text: str) -> bool:
    """Tell whether words are a main clause: a verb stands before the first comma.

    "… are lost, erased or changed, the station …" lists what the condition is.
    """
    if _LISTED.match(text) or _OF_THE_TEXT.search(text):
        return False
    words = re.split(r"[,;:]", text)[0].lower().split()
    return words[0] in BASES or any(_is_verb(word) for word in words[1:])


def is_condition(text: str) -> bool:
    """Tell whether words are a condition that stands alone: a clause without pointing words."""
    words = text.split()
    if not MIN_CONDITION_WORDS <= len(words) <= MAX_CONDITION_WORDS:
        return False
    if POINTING.search(text) or _VAGUE_CONDITION.search(text):
        return False
    # A subject comes first: "once arrived at the site" has none.
    verbs = [word.lower() for word in words[1:] if not word.endswith("ing")]
    return not _is_verb(words[0].lower()) and any(map(_is_verb, verbs))


def _is_verb(word: str) -> bool:
    known = word in BE or word in MODALS or word in THIRD or word in PAST
    return known or word in ("has", "have", "had", "want", "need") or word.endswith("ing")


def _of_duty(duty: re.Match[str], lead: str, condition: str) -> str:
    modal = duty["modal"].lower()
    subject = duty["subject"]
    if subject.split()[0].lower() in ("the", "a", "an", "each", "every", "you"):
        subject = subject[0].lower() + subject[1:]
    negated = " not" if duty["negated"] else ""
    if modal in ("need to", "needs to", "has to", "have to"):
        modal = "must"
    return (
        f"What {'must' if modal == 'shall' else modal} {subject}{negated} do {lead} {condition}?"
    )


def situations(clause: Clause) -> Iterator[Asked]:
    """Yield the questions for when, why and by how much that a clause answers."""
    yield from _reason(clause)
    yield from _change(clause)
    yield from _share(clause)
    yield from _when(clause)


def _reason(clause: Clause) -> Iterator[Asked]:
    match = _REASON.search(clause.rest)
    if match is None or (
        match[0].strip(", ").startswith("since") and _is_date(clause.rest, match)
    ):
        return
    before = clause.rest[: match.start()]
    if BOUNDARY.search(before) or (not before and not clause.verb):
        return
    verb = f" {clause.verb}" if clause.verb else ""
    start = f"Why {clause.auxiliary} {clause.subject}{verb} {before}"
    yield Asked(question(start, "", clause), "why", "hard")


def _is_date(rest: str, match: re.Match[str]) -> bool:
    return bool(re.match(r"[\w ]{0,12}\d{4}|then|\d", rest[match.end() :]))


def _change(clause: Clause) -> Iterator[Asked]:
    """Ask "By how much did sales grow in 2022?" and "What did sales reach in 2022?"."""
    has_scope = bool(clause.lead or re.search(r"\d{4}", clause.rest))
    if clause.verb in CHANGES and has_scope and (match := _BY.match(clause.rest)):
        found = mentions(clause.rest[match.end() :])
        after = clause.rest[match.end() + found[0].end :] if found else ""
        start = f"By how much {clause.auxiliary} {clause.subject} {clause.verb}"
        yield Asked(question(start, tail(after), clause), "by_how_much", "medium")
    amount = amount_of(clause)
    if amount is not None and clause.verb in _LEVELS:
        start = f"What {clause.auxiliary} {clause.subject} {clause.verb}"
        if amount.after.startswith(" of "):
            return
        after = trailing(amount.after)
        if not clause.lead and not re.search(r"\b(?:19|20)\d\d\b", after):
            return
        yield Asked(question(start, after, clause), "level", "medium")


def _share(clause: Clause) -> Iterator[Asked]:
    match = _SHARE.match(BOUNDARY.sub("", clause.rest)) if clause.verb == "account" else None
    if match:
        start = f"What share of {match['whole']} {clause.auxiliary} {clause.subject} account for"
        yield Asked(question(start, match["after"], clause), "share", "medium")


def _when(clause: Clause) -> Iterator[Asked]:
    match = _TRAILING.search(clause.rest)
    if match is None or clause.lead:
        return
    before, after = clause.rest[: match.start()], clause.rest[match.end() :]
    if BOUNDARY.search(before) or not is_condition(re.split(r"[,;:(]", after)[0]):
        return
    if before.endswith((" on", " to", " of")):
        return
    if len(before.split()) > MAX_CONDITION_WORDS or (not before and not clause.verb):
        return
    verb = f" {clause.verb}" if clause.verb else ""
    start = f"When {clause.auxiliary} {clause.subject}{verb} {before}"
    yield Asked(question(start, "", clause), "when", "medium")
