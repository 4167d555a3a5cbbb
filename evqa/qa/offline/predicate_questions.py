"""Questions for what a predicate says: what something is, is limited to, is used for, contains."""

import re
from collections.abc import Iterator
from dataclasses import replace

from evqa.qa.grammar import BASES, MODALS, PAST, third_person
from evqa.qa.offline.asked import Asked
from evqa.qa.offline.clauses import Clause
from evqa.qa.offline.numeric_questions import amount_of, question, tail
from evqa.qa.offline.situation_questions import CHANGES
from evqa.qa.offline.subjects import is_person
from evqa.segmentation import num_words

# Verbs whose object is no good answer to "What does S …?": they have none, or it says nothing.
_NOT_ASKED_FOR_TEXT = """
account act agree amount appear apply arrive become begin belong benefit come comply consist
continue correspond decline depend derive differ exist expect fail fall feel flow get go grow
happen hang insist last lie live look occur put refer rely remain result rise run say see seem
sit specialise stand stay take talk tend think travel try turn vary wait want work allow let
make give play put keep do plan aim pass lead participate listen focus share help serve enter
have own use send find respond tell
"""
_ASKED_FOR = BASES - frozenset(_NOT_ASKED_FOR_TEXT.split())
# Without more context, everything has an object of these.
_LIGHT_TEXT = """
add announce contain create define generate include indicate issue mean need offer provide produce
present hold receive release request require return set show specify support update upload
"""
# "the Charge Point": it does so much that "What does it check?" has many answers.
_ROLE = re.compile(r"the [A-Z]\w*(?: [A-Z]\w*)?")
_LIGHT = frozenset(_LIGHT_TEXT.split())
MIN_SUBJECT_WORDS = 3
# What things with names do at all times, and not in some story.
_TIMELESS_TEXT = """
contain include require define describe support mean indicate cover enable represent specify
comprise provide offer need measure limit govern involve cause follow treat
"""
_TIMELESS = frozenset(_TIMELESS_TEXT.split())
_POSSIBLY = frozenset({"may", "might", "could", "would"})
_WITH_PREPOSITION = (
    "stand for",
    "consist of",
    "depend on",
    "refer to",
    "lead to",
    "belong to",
    "apply to",
    "correspond to",
    "communicate over",
    "communicate by",
    "talk over",
    "rely on",
    "add up to",
    "amount to",
    "comply with",
    "work with",
    "begin with",
    "differ from",
    "result in",
    "derive from",
    "protect against",
    "serve as",
)
_PARTICIPLE = re.compile(
    r"(?P<participle>(?!meant)[a-z]+ed|made|built|known|set|fed|kept|held|bought|sold|drawn|given|"
    r"taken|written|found|paid|driven|chosen)\s+(?P<preposition>to|by|for|as|with|in|at|from|on)\s+"
    r"(?P<object>\S.*)$"
)
_OBJECT = re.compile(
    r"(?:(?:an?|the|no|two|three|four|only|all|every|each|any)\b|[A-Z0-9]|(?!this|across|"
    r"besides|towards|less)[a-z-]{2,}s\b|"
    r"(?!(?:little|much|nothing|something|well|far|up|out|down|on|in|off|as|when|if|once|until|and|or|"
    r"because|by|for|from|to|with|without|at|into|over|under|through|than)\b)[a-z-]+ [a-z-]+)"
)
_NAMING = re.compile(r"(?P<participle>called|named|rated|known as|labelled)\s+\S")
_DEFINED = frozenset({"defined", "specified", "described", "standardised"})
_A_THING = (
    r"(?:an?|the) (?!real|subject|very|question|matter|same|way|good|bad|first|only)[A-Za-z]"
)
_EXPLAINED = re.compile(
    r" (?:that|which|who|for|used|of|with|between|designed|based|to [a-z]+ [a-z]+s) "
)
_THING = re.compile(
    r"(?:(?:an?|the|its|all|each|every|no|several|two|three)\b|[A-Z0-9“\"‘–-]|[a-z-]{2,}s\b|"
    r"(?!it |early|late|in |is |soon|long|if )[a-z-]+ [a-z-]+(?: [a-z-]+)?$|"
    r"(?!it |early|late|in |is |soon|long|if )[a-z-]+ (?:[a-z-]+ )?(?:of|for|in|to|from|that)\b)"
)
_TIME = re.compile(
    r"(?:the (?:end|start|time|beginning|number|amount|year)|\d+|January|February|March|April|May|"
    r"June|July|August|September|October|November|December|Q\d)\b"
)
_ORDERED = frozenset(
    {"ordered", "sorted", "grouped", "increased", "decreased", "caused", "followed"}
)
# "China is the leader in …" says how it does, and not what it is.
_PRAISED = re.compile(r"\b(?:leader|leading|most|only|main|key|[a-z]{3,}est)\b")
_USED = re.compile(r"used (?:to (?:[a-z]+ly )?(?P<base>[a-z]+)|for [a-z]+)\b")
_FROM_TO = re.compile(r"\bto\b")
_TO_DO = re.compile(
    r"(?P<who>(?:an?|the|all|each|every|any|[A-Z]|[a-z-]+s\b)[^,;:()]{0,50}?) to "
    r"(?:[a-z]+ly )?(?P<base>[a-z]+)\b"
)
_LETTING_TEXT = "allow enable require permit encourage oblige force help"
_LETTING = frozenset(_LETTING_TEXT.split())
MAX_WHO_WORDS, MIN_DONE_WORDS = 6, 2
_SENDING_TEXT = """
send return forward transmit give provide upload report transfer deliver offer grant
"""
_SENDING = frozenset(_SENDING_TEXT.split())
_RECIPIENT = re.compile(
    r"(?!to )(?P<sent>\S.{3,}?)(?<!prior)(?<!due)(?<!access)(?<!order) to "
    r"(?P<to>(?:(?:the|an?|each|all) [\w-]+|[A-Z][\w-]*|[a-z-]+s)(?: [\w-]+){0,2}?)"
    r"(?P<after>(?: (?:in|at|by|for|on|from|with|via|during|after|before|when|to|using|over)\b"
    r".*)?)$"
)
# Nobody asks what a demand is expected to do.
_FORESEEN = frozenset(
    ["expected", "projected", "estimated", "set", "poised", "continued", "scheduled", "forecast"]
)


def definition(clause: Clause) -> Iterator[Asked]:
    """Ask for "X is a Y" with "What is X?", for plain subjects without a place or time."""
    if not _is_defining(clause):
        return
    yield Asked(question(f"What {clause.auxiliary} {clause.subject}", "", clause), "definition")
    if clause.auxiliary != "is" or re.match(r"the |[A-Z][a-z]+$", clause.subject) or clause.lead:
        return
    if not clause.rest.startswith(("a ", "an ")):
        yield Asked(f"What is meant by {clause.subject}?", "meant")
    elif _EXPLAINED.search(clause.rest):
        yield Asked(f"How is {clause.subject} defined?", "defined")


def _is_defining(clause: Clause) -> bool:
    """Tell whether a clause says what its subject is, and not only how it is now."""
    words = clause.subject.split()
    is_code = re.search(r"\d|[A-Z]{2}", clause.subject)  # "in Britain BS 7671 is …"
    if clause.verb or clause.auxiliary not in ("is", "are") or (clause.lead and not is_code):
        return False
    if not re.match(_A_THING, clause.rest):
        return False
    if (
        re.match(r"(?:an? )?(?:\w+ )?(?:part|one|example)\b", clause.subject)
        or words[0].endswith("ing")
        or any(word.endswith("est") for word in words[:2])
    ):
        return False
    if re.search(r"\b(?:is|are) (?:also|now|still|already|therefore|thus)\b", clause.text):
        return False
    if _PRAISED.search(clause.rest) and clause.subject[0].isupper():
        return False
    is_role = words[0] == "the" and clause.rest.startswith("the ")
    is_short = num_words(clause.subject) <= 6 and num_words(clause.rest) >= 3
    return is_short and not is_role and amount_of(clause) is None


def passive(clause: Clause) -> Iterator[Asked]:
    """Ask for what follows "is limited to", "was developed by", "must be standardised as"."""
    if clause.verb and not (clause.auxiliary in MODALS and clause.verb == "be"):
        return
    if clause.subject.split()[0].endswith("ing"):
        return
    be = f"{clause.auxiliary} {clause.subject}{' be' if clause.verb else ''}"
    if named := _NAMING.match(clause.rest):
        yield Asked(question(f"What {be} {named['participle']}", "", clause), "naming", "medium")
        return
    if _USED.match(clause.rest):
        yield from _use(clause, be)
        return
    match = _PARTICIPLE.match(clause.rest)
    if match is None or match["participle"] in ("tended", "used", "supposed", "considered"):
        return
    if re.match(r"(?:well|much|soon|long|far) |[a-z]+ing\b", match["object"]):
        return
    yield from _after_participle(clause, be, match)


def _use(clause: Clause, be: str) -> Iterator[Asked]:
    match = _USED.match(clause.rest)
    is_verb = match is not None and (match["base"] is None or match["base"] in BASES)
    if is_verb and clause.auxiliary in ("is", "are", "can", "was", "were") and not clause.lead:
        yield Asked(f"What {be} used for?", "use", "medium")


def _after_participle(clause: Clause, be: str, match: re.Match[str]) -> Iterator[Asked]:
    participle, preposition, said = match["participle"], match["preposition"], match["object"]
    if preposition == "by":
        yield from _by_whom(clause, match)
    elif preposition == "to" and (participle in _TO_VERB or _infinitive(said)):
        if _is_for_somebody_to_do(clause, participle) and num_words(said) > MIN_DONE_WORDS:
            yield Asked(_led(f"what {be} {participle} to do", clause), "to_do", "medium")
    elif preposition == "in" and participle in _DEFINED:
        yield Asked(question(f"Where {be} {participle}", "", clause), "where", "medium")
    elif preposition == "from" and _FROM_TO.search(said):
        return  # "from A to B": half of it answers nothing
    elif preposition in ("to", "with", "as", "from") and _is_thing(said):
        text = _led(f"what {be} {participle} {preposition}", clause)
        yield Asked(text, "passive", "medium")


def _is_for_somebody_to_do(clause: Clause, participle: str) -> bool:
    """Tell whether somebody is asked to do something, or a thing was made to."""
    is_need = participle in ("required", "needed", "used") and not is_person(clause.subject)
    return not clause.verb and not is_need and participle not in _FORESEEN


def _led(text: str, clause: Clause) -> str:
    """Return a question that ends in a preposition; what led the clause leads it, too."""
    lead = f"{clause.lead}, " if clause.lead else ""
    whole = question(f"{lead}{text}", "", replace(clause, lead=""))
    return whole[0].upper() + whole[1:]


def _is_thing(text: str) -> bool:
    """Tell whether words begin with a thing, and not with a clause, a date or a way."""
    return _THING.match(text) is not None


_TO_VERB_TEXT = """
expected required designed allowed intended created permitted obliged encouraged planned projected
needed asked
"""
_TO_VERB = frozenset(_TO_VERB_TEXT.split())


def _by_whom(clause: Clause, match: re.Match[str]) -> Iterator[Asked]:
    """Ask "Who developed …?", "What operates …?", "Who may use …?"; not "by doing", "by 2030"."""
    participle, agent = match["participle"], match["object"]
    base = PAST.get(participle)
    if base is None or participle in _ORDERED or not _is_thing(agent) or _TIME.match(agent):
        return
    if base[:5] in clause.subject.lower():  # "What defines the definitions?"
        return
    word = "Who" if _is_somebody(agent) else "What"
    if clause.auxiliary in ("was", "were") and participle.endswith("ed"):
        start = f"{word} {participle} {clause.subject}"
        yield Asked(question(start, "", clause), "who", "medium")
    elif clause.auxiliary in ("is", "are"):
        start = f"{word} {third_person(base)} {clause.subject}"
        yield Asked(question(start, "", clause), "by_whom", "medium")
    elif clause.auxiliary in MODALS:
        start = f"{word} {clause.auxiliary} {base} {clause.subject}"
        yield Asked(question(start, "", clause), "by_whom", "medium")


def _is_somebody(agent: str) -> bool:
    first = re.split(
        r",| (?:and|or|/|to|in|who|that|using|via|with|for|by|from|on|at|[a-z]+teen|\d+) ", agent
    )[0]
    return is_person(first) or all(word[0].isupper() for word in first.split() if word != "the")


def _infinitive(text: str) -> bool:
    words = [word for word in text.lower().split()[:2] if not word.endswith("ly")]
    return bool(words) and (words[0] in BASES or words[0] in ("be", "have", "study"))


def objects(clause: Clause) -> Iterator[Asked]:
    """Ask for the object of a verb: "What does a DC charger contain?"."""
    if clause.auxiliary in _POSSIBLY and re.search(r"\b[A-Z]{2}|^the ", clause.subject):
        return
    if not clause.verb or amount_of(clause) is not None or clause.rest.startswith("to "):
        return
    start = f"What {clause.auxiliary} {clause.subject}"
    for phrase in _WITH_PREPOSITION:
        verb, _, preposition = phrase.partition(" ")
        if clause.verb == verb and clause.rest.startswith(f"{preposition} "):
            yield Asked(question(f"{start} {phrase}", "", clause), "object", "medium")
            return
    to_do = list(_let_do(clause, start)) or list(_sent_to(clause, start))
    if to_do:
        yield from to_do
    elif _is_asked_for(clause):
        yield Asked(question(f"{start} {clause.verb}", "", clause), "object", "medium")


def _is_asked_for(clause: Clause) -> bool:
    """Tell whether the object of a clause is what its subject can be asked for."""
    is_change = clause.verb in CHANGES and not re.match(r"(?:the|an?|its|their) ", clause.rest)
    if clause.verb not in _ASKED_FOR or is_change or not _OBJECT.match(clause.rest):
        return False
    subject = num_words(re.sub(r"^(?:the|an?|each|every) ", "", clause.subject))
    is_bare = clause.verb in _LIGHT and subject < MIN_SUBJECT_WORDS
    is_bare = is_bare or subject < MIN_SUBJECT_WORDS - 1
    is_bare = is_bare or _ROLE.fullmatch(clause.subject) is not None
    is_bare = is_bare or clause.is_past  # announced what, and when?
    is_named = re.match(r"(?:the )?[A-Z]", clause.subject) is not None
    is_bare = is_bare or (is_named and clause.verb not in _TIMELESS)
    said = tail(clause.rest)
    is_vague = re.fullmatch(r"the [a-z]+", said) is not None
    return num_words(said) >= 2 and not is_vague and (bool(clause.lead) or not is_bare)


def _let_do(clause: Clause, start: str) -> Iterator[Asked]:
    """Ask "What does plug and charge allow drivers to do?"."""
    match = _TO_DO.match(clause.rest) if clause.verb in _LETTING else None
    if match is None or match["base"] not in BASES or num_words(match["who"]) > MAX_WHO_WORDS:
        return
    if match["who"].endswith(" in order"):
        return
    text = question(f"{start} {clause.verb} {match['who']} to do", "", clause)
    yield Asked(text, "let_do", "medium")


def _sent_to(clause: Clause, start: str) -> Iterator[Asked]:
    """Ask "What does the station send to the back end?"."""
    match = _RECIPIENT.match(tail(clause.rest)) if clause.verb in _SENDING else None
    if match is None or match["to"].split()[0] in BASES:
        return
    text = question(f"{start} {clause.verb} to {match['to']}", match["after"], clause)
    yield Asked(text, "sent_to", "medium")
