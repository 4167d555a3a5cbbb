"""Questions from single sentences: what something is, needs or means, how much, when, who, why.

At most two pairs come from one sentence. The answer is the clause that says it, the quote the
sentence that holds the clause.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from evqa.qa.candidate import Candidate, Passage
from evqa.qa.clauses import Clause, clauses
from evqa.qa.grammar import Vocabulary, is_self_contained, points_outside
from evqa.qa.numeric_questions import BOUNDARY, amount_of, numeric_questions, question, tail
from evqa.qa.quantities import mentions
from evqa.segmentation import LineKind, lines, num_words, sentence_spans

MAX_PAIRS_PER_SENTENCE = 2
MIN_SENTENCE_WORDS, MAX_SENTENCE_WORDS = 5, 60
# Verbs whose object is a good answer to "What does S …?"
_ASKED_FOR_TEXT = """
exchange decide raise lower form name govern release lock publish expect bridge follow
need require use contain include combine describe cover define protect measure regulate set
limit prevent allow offer provide control convert mean support replace determine detect
comprise check monitor govern specify recommend prescribe permit produce supply cause connect
carry demand forbid reduce resist store enable estimate involve want own show tell represent
list join make have keep affect share do
"""
_ASKED_FOR = frozenset(_ASKED_FOR_TEXT.split())
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
    "come from",
    "protect against",
)
_PARTICIPLE = re.compile(
    r"(?P<participle>(?!meant)[a-z]+ed|made|built|known|set|fed|kept|held|bought|sold|drawn|given|"
    r"taken|written|found|paid|driven|chosen)\s+(?P<preposition>to|by|for|as|with|in|at|from|on)\s+"
    r"(?P<object>\S.*)$"
)
_OBJECT = re.compile(
    r"(?:an?|the|no|two|three|four|only|all|every|each|any|[A-Z0-9]|[a-z-]+s\b|"
    r"(?!little|much|nothing|something|well|far|up|out|down|on|in|off)[a-z-]+ [a-z-]+)"
)
_NAMING = re.compile(r"(?P<participle>called|named|rated|known as|labelled)\s+\S")
_THERE = re.compile(
    r"(?:(?P<lead>[A-Z][^,;:]{3,60}?),? )?[Tt]here (?P<be>are|were) "
    r"(?P<object>(?:[^,;:]|,(?=\d))+)"
)
_ITEM_MARK = re.compile(r"- (?:\(?[A-Za-z0-9]{1,2}[.)] )?")
_PLACE_OR_TIME = frozenset({"in", "at", "on"})
_A_THING = (
    r"(?:an?|the) (?!real|subject|very|question|matter|same|way|good|bad|first|only)[A-Za-z]"
)
_BECAUSE = re.compile(r",? (?:because|since) (?=[a-z])")


@dataclass(frozen=True, slots=True)
class Asked:
    """A question about a clause, the rule that asked it, and how hard it is."""

    question: str
    template: str
    difficulty: str = "easy"


def sentence_questions(passage: Passage, vocabulary: Vocabulary) -> Iterator[Candidate]:
    """Yield questions of every sentence in prose and list items.

    Args:
        passage: Where the sentences stand.
        vocabulary: How the corpus writes its words, so that names are known.
    """
    text = passage.chunk.text
    for line in lines(text):
        if line.kind is LineKind.prose or line.kind is LineKind.item:
            mark = _ITEM_MARK.match(line.text)
            skip = mark.end() if mark else 0
            for start, end in sentence_spans(line.text[skip:]):
                offset = line.start + skip
                yield from _of_sentence(text, offset + start, offset + end, vocabulary)


def _of_sentence(text: str, start: int, end: int, vocabulary: Vocabulary) -> Iterator[Candidate]:
    sentence = text[start:end]
    if not MIN_SENTENCE_WORDS <= num_words(sentence) <= MAX_SENTENCE_WORDS:
        return
    if not sentence.endswith((".", "!")) or (
        not sentence[0].isupper() and not sentence[0].isdigit()
    ):
        return
    yield from _there_are(sentence, start, end)
    chosen: list[tuple[Asked, Clause]] = []
    for clause in clauses(sentence, vocabulary):
        if points_outside(clause.rest) or clause.rest.endswith(" there"):
            continue
        found = [asked for asked in ask(clause) if is_good(asked.question)]
        chosen += [(asked, clause) for asked in found[:MAX_PAIRS_PER_SENTENCE]]
    for asked, clause in _first_of_each(chosen)[:MAX_PAIRS_PER_SENTENCE]:
        yield Candidate(
            question=asked.question[0].upper() + asked.question[1:],
            answer=answer_of(sentence, clause, asked),
            start=start,
            end=end,
            template=asked.template,
            difficulty=asked.difficulty,
        )


def _there_are(sentence: str, start: int, end: int) -> Iterator[Candidate]:
    """Ask "How many …?" for "At the end of 2024 there were more than 200,000 …"."""
    match = _THERE.match(sentence)
    found = mentions(match["object"]) if match else []
    if match is None or not found or found[0].quantity.unit:
        return
    after = match["object"][found[0].end :].strip(" .")
    noun = re.match(r"(?P<noun>(?:[a-z-]+ ){0,3}?[a-z-]+s)\b(?P<after>.*)$", after)
    if noun is None:
        return
    lead = match["lead"] or ""
    lead = lead[:1].lower() + lead[1:]
    words = f"How many {noun['noun']} {match['be']} there {tail(noun['after'])} {lead}"
    text = " ".join(words.split()) + "?"
    if is_good(text.replace(" there", "")):
        yield Candidate(question=text, answer=sentence, start=start, end=end, template="there_are")


def _first_of_each(chosen: list[tuple[Asked, Clause]]) -> list[tuple[Asked, Clause]]:
    """Order questions so that every clause and template is asked once before any twice."""
    seen: dict[str, int] = {}
    ranked = []
    for number, (asked, clause) in enumerate(chosen):
        rank = seen.get(clause.text, 0)
        seen[clause.text] = rank + 1
        ranked.append((rank, number, asked, clause))
    return [(asked, clause) for _, _, asked, clause in sorted(ranked, key=lambda r: r[:2])]


def answer_of(sentence: str, clause: Clause, asked: Asked) -> str:
    """Return the clause as a sentence; the whole sentence when a reason is asked for."""
    if asked.template == "why" or len(clause.text) >= len(sentence) - 1:
        return sentence
    return f"{clause.text[0].upper()}{clause.text[1:]}."


def is_good(text: str) -> bool:
    """Tell whether a question reads as one that stands alone."""
    words = text.rstrip("?").split()
    if not 4 <= len(words) <= 26 or not is_self_contained(text):
        return False
    has_odd_signs = re.search(r"[\"“”():;|]|, \w+\?$|\s-\s", text)
    return not has_odd_signs and words[-1].lower() not in ("a", "an", "the", "and", "or", "its")


def ask(clause: Clause) -> Iterator[Asked]:
    """Yield every question that a clause answers, the most telling first."""
    for number, text in enumerate(numeric_questions(clause)):
        yield Asked(text, f"number_{number + 1}")
    yield from _definition(clause)
    yield from _why(clause)
    yield from _passive(clause)
    yield from _object(clause)


def _definition(clause: Clause) -> Iterator[Asked]:
    """Ask for "X is a Y" with "What is X?", for plain subjects without a place or time."""
    is_defining = (
        re.match(
            _A_THING,
            clause.rest,
        )
        and not clause.is_past
    )
    words = clause.subject.split()
    if words[0].endswith("ing") or any(word.endswith("est") for word in words[:2]):
        return
    if clause.verb or not is_defining or clause.auxiliary not in ("is", "are"):
        return
    if (
        num_words(clause.subject) <= 6
        and num_words(clause.rest) >= 3
        and amount_of(clause) is None
    ):
        text = question(f"What {clause.auxiliary} {clause.subject}", "", clause)
        yield Asked(text, "definition")


def _why(clause: Clause) -> Iterator[Asked]:
    match = _BECAUSE.search(clause.rest)
    if match is None:
        return
    before = clause.rest[: match.start()]
    if BOUNDARY.search(before):
        return
    verb = f" {clause.verb}" if clause.verb else ""
    start = f"Why {clause.auxiliary} {clause.subject}{verb} {before}"
    yield Asked(question(start, "", clause), "why", "hard")


def _passive(clause: Clause) -> Iterator[Asked]:
    """Ask for what follows "is limited to", "was developed by", "is standardised as"."""
    if clause.verb:
        return
    if named := _NAMING.match(clause.rest):
        start = f"What {clause.auxiliary} {clause.subject} {named['participle']}"
        yield Asked(question(start, "", clause), "naming", "medium")
        return
    match = _PARTICIPLE.match(clause.rest)
    if match is None:
        return
    participle, preposition = match["participle"], match["preposition"]
    if match["object"].startswith(("well", "much", "soon", "long", "far ")):
        return
    if preposition == "by" and clause.is_past and participle.endswith("ed"):
        yield Asked(question(f"Who {participle} {clause.subject}", "", clause), "who", "medium")
    elif preposition not in _PLACE_OR_TIME:
        start = f"What {clause.auxiliary} {clause.subject} {participle} {preposition}"
        yield Asked(question(start, "", clause), "passive", "medium")
    elif preposition == "in" and participle in (
        "defined",
        "specified",
        "described",
        "standardised",
    ):
        start = f"Where {clause.auxiliary} {clause.subject} {participle}"
        yield Asked(question(start, "", clause), "where", "medium")


def _object(clause: Clause) -> Iterator[Asked]:
    """Ask for the object of a verb: "What does a DC charger contain?"."""
    if not clause.verb or amount_of(clause) is not None or clause.rest.startswith("to "):
        return
    start = f"What {clause.auxiliary} {clause.subject}"
    for phrase in _WITH_PREPOSITION:
        verb, _, preposition = phrase.partition(" ")
        if clause.verb == verb and clause.rest.startswith(f"{preposition} "):
            yield Asked(question(f"{start} {phrase}", "", clause), "object", "medium")
            return
    is_object = _OBJECT.match(clause.rest)
    if clause.verb in _ASKED_FOR and is_object and num_words(tail(clause.rest)) >= 2:
        yield Asked(question(f"{start} {clause.verb}", "", clause), "object", "medium")
