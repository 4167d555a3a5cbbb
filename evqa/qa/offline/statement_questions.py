"""Questions about a whole statement: how it is done, what it is said of, and whether it is so."""

import re
from collections.abc import Iterator

from evqa.qa.grammar import (
    BASES,
    BE,
    DETERMINERS,
    MODALS,
    PAST,
    THIRD,
    is_plural,
    third_person,
)
from evqa.qa.normal import content_words
from evqa.qa.offline.asked import Asked
from evqa.qa.offline.clauses import Clause
from evqa.qa.offline.numeric_questions import BOUNDARY, amount_of, question
from evqa.qa.offline.situation_questions import CHANGES
from evqa.qa.offline.subjects import is_person
from evqa.qa.quantities import mentions

MIN_STATED_WORDS, MAX_STATED_WORDS, MIN_REST_WORDS = 5, 24, 2
MAX_TOLD_WORDS, MAX_CONFIRMED_SUBJECT_WORDS = 18, 9
MIN_TOLD_WORDS = 4  # of content, before "What …?" tells which one it asks for
# Where a statement may be cut without saying something else.
_CUT = re.compile(
    r"\s*(?:[;:—]|\s–\s|,(?!\d)|\s(?:because|since(?! (?:\w+ )?\d)|so that|while|whereas|although|"
    r"though)\b).*$",
    re.DOTALL,
)
_AFTER_COMMA = re.compile(
    r"\s*, (?:which|while|so|because|but|with|as|where|whereas|since|although|though|when|if|"
    r"up|down|compared|making|allowing|enabling|leading|resulting|including)\b"
)
_OPEN = re.compile(
    r"\b(?:and|or|but) (?:if|when|that|which)\b|\band the [A-Z]|"
    rf"\band (?:the|an?|its) [a-z]+ (?:is|are|was|were|{'|'.join(sorted(THIRD))}) "
)
_FINITE = frozenset([*BE, *MODALS, *THIRD, *PAST, *BASES, "has", "have", "had"])
# What was spoken of before: a question does not know which one.
_SPOKEN_OF = re.compile(
    r"\bthe (?:objects?|systems?|schemes?|programmes?|programs?|devices?|reports?|data|files?|"
    r"lists?|values?|tables?|diagrams?|scope|country|region|markets?|process|project|study|approach|"
    r"standard)\b(?! (?:of|for|to|in|that|which|used|on|from)\b)"
)
# Done by somebody: "What wants …?" would ask for a thing.
_WILLED_TEXT = """
want pay estimate believe plan claim commit aim sign sell buy decide choose ask agree hope expect
invest announce argue begin trust own charge launch
"""
_WILLED = frozenset(_WILLED_TEXT.split())
_HELD = frozenset({"include", "contain", "comprise", "consist", "represent", "mean", "be"})
_SECOND_VERB = re.compile(r" and (?:only |also |then |[a-z]+ly )?(?P<verb>[a-z]+)\b.*$")
_SAYS_LITTLE = re.compile(
    r"(?:is|was|are|were) (?:[a-z]+ly )?(?:of|that|to|not|high|low|strong|weak|large|small|up|"
    r"down|usually) |"
    r"(?:is|was|are|were) (?:an? very|the one) |"
    r"(?:(?:has|have|could|may|will|is|are|was) )?(?:been )?(?:steadily )?(?:continue[ds]? to )?"
    r"(?:tends? to|remain|increas|decreas|grew|grow|fall|fell|ris|declin)|"
    r"(?:has been|have been|is|was|are|were) (?:made|taken|done|given)\b|"
    r"[a-z]+ (?:about |around |over |almost )?[\d€$£]"
)
# Predicates that tell things apart: what it is, what it is for, which message it sends.
_DEFINES = re.compile(
    r"^(?:is|are) an? |^(?:is|are|can be) used (?:to|for) |[a-z][A-Z]\w|\w\.\w|\w_\w"
)
_TWO_VERBS = re.compile(
    r"\band (?:[\w-]+ ){4,7}?(?:has|have|will|did) |"
    r"\b(?:and|but|or) (?:also |then |not )?(?:[\w-]+ ){0,3}?(?:will|has|have|is|are|was|were|can|"
    r"must|may|does|do|don’t|don't|doesn’t|doesn't|did|should|would|could)\b|\band not the\b",
    re.IGNORECASE,
)
_LIST = re.compile(
    r"^[^,;:—–]+(?:, (?!which|while|so|because|but|with|where|the|a|an)\w[\w+.-]*"
    r"(?: [\w+.-]+){0,3})+,? (?:and|or) [^,;:—–]+$"
)
_BRACKETS = re.compile(r"\s+\([^()]*\)")
_LOOSE_ENDS_TEXT = """
a an the of to in on at for with by from as is are be both either more less than over and or up
even not only
"""
_LOOSE_ENDS = frozenset(_LOOSE_ENDS_TEXT.split())
_BY_DOING = re.compile(r"^(?P<before>.*?),? by (?:[a-z]+ly )?[a-z]{2,}ing\b")
_USING = re.compile(r"^(?P<before>[a-z]+(?:ed|en|t)\b.*?),? (?:using|via|by means of) ")
_ADVERBS = re.compile(
    r"\b(?:also|thus|therefore|then|already|however|additionally|consequently|furthermore) "
)
_SINGULAR = {"are": "is", "were": "was", "have": "has", "do": "does"}
_KIND = re.compile(r"the (?:[\w./&-]*[A-Z0-9/][\w./&-]* ){1,4}(?P<kind>[a-z]{3,}[a-rt-z])$")
_CHANGEABLE = re.compile(
    r"\b(?:number|amount|share|majority|part|lot|range|one|types?|kinds?|several|some|many|most|"
    r"other|each|every|any|all|few|countries|states|cities)\b"
)
_COUNTRIES = frozenset({"the United Kingdom", "the United States", "the Netherlands"})


def how(clause: Clause) -> Iterator[Asked]:
    """Ask "How does a charger detect faults?" where it says "by measuring …"."""
    match = _BY_DOING.match(clause.rest)
    is_passive = not clause.verb or clause.verb == "be"
    if match is None and is_passive:
        match = _USING.match(clause.rest)
    if match is None or _CUT.search(match["before"]) or "(" in match["before"]:
        return
    before = match["before"]
    if not before or mentions(before) or BOUNDARY.search(f"{before} ") or len(before.split()) > 14:
        return
    verb = f" {clause.verb}" if clause.verb else ""
    start = f"How {clause.auxiliary} {clause.subject}{verb} {before}"
    yield Asked(question(start, "", clause), "how", "medium")


def stated(text: str) -> str | None:
    """Return a predicate without brackets and what follows a cut; null where that loses sense."""
    plain = _BRACKETS.sub("", text).strip(" .")
    kept = _CUT.sub("", plain)
    cut = plain[len(kept) :]
    if cut.lstrip().startswith(":") or _OPEN.search(kept) or re.match(r"\s*, [A-Z]", cut):
        return None  # what it says comes after the colon; "in Paris, Texas"
    if cut.lstrip().startswith(",") and not _AFTER_COMMA.match(cut):
        if _LIST.search(plain) and len(plain.split()) <= MAX_STATED_WORDS:
            kept, cut = plain, ""
        elif re.search(r"\b(?:and|or)\b|,.*,", cut):
            return None  # half of a list, or an insertion
    words = kept.split()
    if len(words) < MIN_REST_WORDS or words[-1].lower() in _LOOSE_ENDS or "(" in kept:
        return None
    return kept


def said_of(clause: Clause) -> Iterator[Asked]:
    """Ask what a statement is said of: "Which module …?", "Who …?", "What …?"."""
    said = _said(clause)
    if said is None or len(set(content_words(said))) < MIN_TOLD_WORDS or amount_of(clause):
        return
    if clause.auxiliary in ("may", "might", "could"):
        return
    if len(said.split()) > MAX_TOLD_WORDS or _SPOKEN_OF.search(said):
        return
    word = _asking_for(clause.subject, said)
    verb = clause.verb.split(" ")[0]
    if verb in (_WILLED if word == "What" else _HELD if word == "Who" else ()):
        return
    # "A requirement for X is the Y" names the Y, and is no answer to "What is the Y?".
    is_turned = re.match(r"(?:is|was) the ", said) and clause.subject.startswith(("a ", "an "))
    if word is not None and not is_turned and (word != "What" or _DEFINES.search(said)):
        yield Asked(question(f"{word} {said}", "", clause), "said_of", "medium")


def _said(clause: Clause) -> str | None:
    """Return the predicate with its verb, as it follows "what": in the singular."""
    position = clause.text.lower().find(clause.subject.lower())
    if position < 0:
        return None
    after = clause.text[position + len(clause.subject) :].strip()
    said = stated(_ADVERBS.sub("", after))
    if said is None:
        return None
    if _TWO_VERBS.search(said):
        return None
    second = _SECOND_VERB.search(said)
    if second and (second["verb"] in THIRD or second["verb"] in PAST):
        said = said[: second.start()]
    verb, _, rest = said.partition(" ")
    if verb not in _FINITE or _SAYS_LITTLE.match(said) or said.split()[-1] in THIRD:
        return None
    if is_plural(clause.subject) and verb in BASES:
        if any(word in BASES for word in re.findall(r"(?:,|\band|\bor) ([a-z]+)", rest)):
            return None  # two verbs, of which only one would be changed
        verb = third_person(verb)
    elif not rest.startswith("the "):  # "What are the …?"
        verb = _SINGULAR.get(verb, verb)
    return f"{verb} {rest}"


def _asking_for(subject: str, said: str) -> str | None:
    """Return the question word for a subject, null where its name alone would be the answer."""
    if subject == "you" or " and " in subject or _CHANGEABLE.search(subject) or mentions(subject):
        return None
    kind = _KIND.match(subject)
    if kind and kind["kind"] not in PAST:
        return None if kind["kind"] in said.split() else f"Which {kind['kind']}"
    if not subject[0].islower() or subject in _COUNTRIES:
        return None
    if is_person(subject):
        return "Who"
    is_plain = subject.split()[0] in DETERMINERS or (is_plural(subject) and " " in subject)
    return "What" if is_plain else None


def _has_scope(clause: Clause) -> bool:
    """Tell whether a change has its time or place: sales grew where, and when?"""
    return bool(clause.lead or re.search(r"\b(?:19|20)\d\d\b|\bin [A-Z]", clause.text))


def _is_confirmable(clause: Clause, rest: str) -> bool:
    """Tell whether a predicate is one statement that stands alone."""
    if clause.subject == "you" or _TWO_VERBS.search(rest) or _SPOKEN_OF.search(rest):
        return False
    if clause.auxiliary == "would":
        return False
    # "The firmware has been downloaded" is a moment in a story; sales grew where, and when?
    is_event = clause.auxiliary in ("has", "have") or clause.verb in CHANGES
    if is_event and not _has_scope(clause):
        return False
    if re.match(r"no ", rest) or len(clause.subject.split()) > MAX_CONFIRMED_SUBJECT_WORDS:
        return False
    if not clause.verb and re.match(r"(?:of|that|not|no longer) ", rest):
        return False
    return not _has_second_verb(clause, rest)


def _has_second_verb(clause: Clause, rest: str) -> bool:
    """Tell whether a second verb would stay as it is when the first one is asked for."""
    # "… stores it and sends the rest": one of the verbs would be changed.
    if clause.verb and re.search(r" (?:and|or) [a-z]+s (?:the|an?|all|each) ", rest):
        return True
    second = _SECOND_VERB.search(rest)
    return bool(second and second["verb"] in THIRD and second["verb"] not in BASES)


def confirmation(clause: Clause) -> Iterator[Asked]:
    """Ask whether it is so: "Can a charger …?", "Is it true that …?"; the answer says yes."""
    rest = stated(clause.rest)
    if rest is None or not _is_confirmable(clause, rest):
        return
    num_words = len(f"{clause.subject} {clause.verb} {rest}".split())
    if not MIN_STATED_WORDS <= num_words <= MAX_STATED_WORDS:
        return
    verb = f" {clause.verb}" if clause.verb else ""
    is_inverted = clause.auxiliary not in ("may", "might", "could", "should")
    if is_inverted and not mentions(rest):
        yield Asked(
            question(f"{clause.auxiliary} {clause.subject}{verb} {rest}", "", clause), "yes"
        )
        return
    position = clause.text.lower().find(clause.subject.lower())
    said = stated(clause.text[position + len(clause.subject) :])
    if position >= 0 and said is not None:
        yield Asked(question(f"Is it true that {clause.subject} {said}", "", clause), "yes")
