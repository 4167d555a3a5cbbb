"""Questions from single sentences: what something is, needs or means, how much, when, who, why.

At most two pairs come from one sentence. The answer is the clause that says it, the quote the
sentence that holds the clause.
"""

import re
from collections.abc import Iterator

from evqa.qa.asked import Asked
from evqa.qa.candidate import Candidate, Passage
from evqa.qa.clauses import Clause, clauses
from evqa.qa.grammar import (
    BASES,
    PAST,
    Vocabulary,
    is_self_contained,
    points_outside,
    third_person,
)
from evqa.qa.numeric_questions import BEFORE_NUMBER, amount_of, numeric_questions, question, tail
from evqa.qa.quantities import mentions
from evqa.qa.situation_questions import CHANGES, confirmation, leading_condition, situations
from evqa.segmentation import LineKind, lines, num_words, sentence_spans

MAX_PAIRS_PER_SENTENCE, MIN_OBJECT_WORDS = 2, 2
_DANGLING_TEXT = """
a an the and or its starting ranging including following depending according
"""
_DANGLING = frozenset(_DANGLING_TEXT.split())
MIN_SENTENCE_WORDS, MAX_SENTENCE_WORDS = 5, 80
# Verbs whose object is no good answer to "What does S …?": they have none, or it says nothing.
_NOT_ASKED_FOR_TEXT = """
account act agree amount appear apply arrive become begin belong benefit come comply consist
continue correspond decline depend derive differ exist expect fail fall feel flow get go grow
happen hang insist last lie live look occur put refer rely remain result rise run say see seem
sit specialise stand stay take talk tend think travel try turn vary wait want work allow let
make give play put keep do plan aim pass lead participate listen focus share
"""
_ASKED_FOR = BASES - frozenset(_NOT_ASKED_FOR_TEXT.split()) | {
    "have",
    "share",
    "do",
    "own",
    "allow",
}
_WHOLE = frozenset({"why", "when", "condition", "duty", "instruction"})
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
_DEFINED = frozenset({"defined", "specified", "described", "standardised"})
_THERE = re.compile(
    r"(?:(?P<lead>[A-Z][^,;:]{3,60}?),? )?[Tt]here (?P<be>are|were) "
    r"(?P<object>(?:[^,;:]|,(?=\d))+)"
)
_ITEM_MARK = re.compile(r"- (?:\(?[A-Za-z0-9]{1,2}[.)] )?")
# What numbers requirements and sections: "A00.FR.401", "15.1.2", "M01".
_LABEL = re.compile(r"(?:[A-Z]{1,2}\d{2}(?:\.FR\.\d+)?|\d+(?:\.\d+)+\.?|\(?[a-z]\)) (?=[A-Z])")
# Signs of captions, sources and broken words in what looks like a sentence.
_DEBRIS = re.compile(
    r"^(?:Source|Note|Figure|Table|Box|Retrieved|See|Archived|Copyright)s?\b|"
    r"\b(?:Figure|Table|Box) \d|\bIEA\. |\bpp?\. \d|(?<![’'.\w-])[b-hj-z] [a-z]{3,}|"
    r"\b[aA] ([b-df-hj-np-tv-z])\1|[a-z] -[a-z]|\w- (?!and|or|to)\w|\.\.\.|https?:|[{}<>=|]|"
    r"\bCC BY\b|\bthe following\b|\bas follows\b|^[B-HJ-Z] [a-z]{3,}|"
    r"(?<=[a-zA-Z] )(?:The|This|These|However|Although) (?=[a-z])"
)
# A heading that ran into the sentence: "surge ahead Electrification of road transport".
_RUN_ON = re.compile(r"(?<=[a-z] )[A-Z][a-z]{2,}(?:tion|ing|ment|tions|ies|ers)(?= [a-z])")
_PLACE_OR_TIME = frozenset({"in", "at", "on"})
_A_THING = (
    r"(?:an?|the) (?!real|subject|very|question|matter|same|way|good|bad|first|only)[A-Za-z]"
)


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
    label = _LABEL.match(text, start, end)
    start = label.end() if label else start
    sentence = text[start:end]
    if not _is_whole(sentence, vocabulary):
        return
    found = [
        *_there_are(sentence, start, end),
        *(
            Candidate(
                question=asked.question[0].upper() + asked.question[1:],
                answer=answer_of(sentence, clause, asked),
                start=start,
                end=end,
                template=asked.template,
                difficulty=asked.difficulty,
            )
            for asked, clause in _first_of_each(_asked_of(sentence, vocabulary))
        ),
    ]
    yield from found[:MAX_PAIRS_PER_SENTENCE]


def _is_whole(sentence: str, vocabulary: Vocabulary) -> bool:
    """Tell whether words are one sentence from its capital to its full stop, and nothing else."""
    if not MIN_SENTENCE_WORDS <= num_words(sentence) <= MAX_SENTENCE_WORDS:
        return False
    begins = sentence[0].isupper() or sentence[0].isdigit()
    if not begins or not sentence.endswith((".", "!")) or _DEBRIS.search(sentence):
        return False
    runs_on = _RUN_ON.finditer(sentence)
    return not any(word[0].lower() in vocabulary.lower for word in runs_on)


def _asked_of(sentence: str, vocabulary: Vocabulary) -> list[tuple[Asked, Clause | None]]:
    """Return the good questions of a sentence, each with its clause; null for the whole of it."""
    chosen: list[tuple[Asked, Clause | None]] = [
        (asked, None) for asked in leading_condition(sentence) if is_good(asked.question)
    ]
    for clause in clauses(sentence, vocabulary):
        if points_outside(clause.rest) or clause.rest.endswith(" there"):
            continue
        good = [asked for asked in ask(clause) if is_good(asked.question)]
        chosen += [(asked, clause) for asked in good[:MAX_PAIRS_PER_SENTENCE]]
    return chosen


def _there_are(sentence: str, start: int, end: int) -> Iterator[Candidate]:
    """Ask "How many …?" for "At the end of 2024 there were more than 200,000 …"."""
    match = _THERE.match(sentence)
    found = mentions(match["object"]) if match else []
    if match is None or not found or found[0].quantity.unit:
        return
    if not BEFORE_NUMBER.fullmatch(match["object"][: found[0].start]):
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


def _first_of_each(chosen: list[tuple[Asked, Clause | None]]) -> list[tuple[Asked, Clause | None]]:
    """Order questions so that every clause is asked once before any twice."""
    seen: dict[str, int] = {}
    ranked = []
    for number, (asked, clause) in enumerate(chosen):
        text = clause.text if clause else ""
        rank = seen.get(text, 0)
        seen[text] = rank + 1
        ranked.append((rank, number, asked, clause))
    return [(asked, clause) for _, _, asked, clause in sorted(ranked, key=lambda r: r[:2])]


def answer_of(sentence: str, clause: Clause | None, asked: Asked) -> str:
    """Return the clause as a sentence; the whole sentence when a situation is asked for."""
    if clause is None or asked.template in _WHOLE or len(clause.text) >= len(sentence) - 1:
        return f"Yes. {sentence}" if asked.template == "yes" else sentence
    text = f"{clause.text[0].upper()}{clause.text[1:]}."
    return f"Yes. {text}" if asked.template == "yes" else text


def is_good(text: str) -> bool:
    """Tell whether a question reads as one that stands alone."""
    words = text.rstrip("?").split()
    is_vague = words[1:2] in (["can"], ["must"], ["may"]) and words[2:3] == ["you"]
    if not 4 + 2 * is_vague <= len(words) <= 26:
        return False
    if not is_self_contained(text.removeprefix("Is it true that ")):
        return False
    if re.search(r"\b(?:after|before|like|with|for|of|than|by) that\?$", text):
        return False
    has_odd_signs = re.search(r"[\"“”():;|]|, \w+\?$|\s-\s", text)
    return not has_odd_signs and words[-1].lower() not in _DANGLING


def ask(clause: Clause) -> Iterator[Asked]:
    """Yield every question that a clause answers, the most telling first."""
    for number, text in enumerate(numeric_questions(clause)):
        yield Asked(text, f"number_{number + 1}")
    yield from _definition(clause)
    yield from situations(clause)
    yield from _passive(clause)
    yield from _object(clause)
    yield from confirmation(clause)


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
        if not clause.lead and clause.auxiliary == "is" and clause.rest.startswith(("a ", "an ")):
            yield Asked(f"How is {clause.subject} defined?", "defined")
        elif not clause.lead and clause.auxiliary == "is":
            yield Asked(f"What is meant by {clause.subject}?", "meant")


def _passive(clause: Clause) -> Iterator[Asked]:
    """Ask for what follows "is limited to", "was developed by", "is standardised as"."""
    if clause.verb:
        return
    if named := _NAMING.match(clause.rest):
        start = f"What {clause.auxiliary} {clause.subject} {named['participle']}"
        yield Asked(question(start, "", clause), "naming", "medium")
        return
    match = _PARTICIPLE.match(clause.rest)
    if match is None or match["participle"] in ("tended", "used", "supposed"):
        return
    if match["object"].startswith(("well", "much", "soon", "long", "far ")):
        return
    if match["preposition"] == "by":
        yield from _by_whom(clause, match)
    elif match["preposition"] == "to" and _infinitive(match["object"]):
        start = f"What {clause.auxiliary} {clause.subject} {match['participle']} to do"
        yield Asked(question(start, "", clause), "to_do", "medium")
    elif match["preposition"] not in _PLACE_OR_TIME:
        start = f"What {clause.auxiliary} {clause.subject} {match['participle']}"
        yield Asked(question(f"{start} {match['preposition']}", "", clause), "passive", "medium")
    elif match["preposition"] == "in" and match["participle"] in _DEFINED:
        start = f"Where {clause.auxiliary} {clause.subject} {match['participle']}"
        yield Asked(question(start, "", clause), "where", "medium")


def _by_whom(clause: Clause, match: re.Match[str]) -> Iterator[Asked]:
    """Ask "Who developed …?" of the past, "What operates …?" of the present; not "by doing"."""
    participle = match["participle"]
    base = PAST.get(participle)
    if match["object"].split()[0].endswith("ing"):
        return
    if clause.is_past and participle.endswith("ed"):
        yield Asked(question(f"Who {participle} {clause.subject}", "", clause), "who", "medium")
    elif base and not clause.lead:
        word = "Who or what" if match["object"].split()[0].endswith("s") else "What"
        yield Asked(f"{word} {third_person(base)} {clause.subject}?", "by_whom", "medium")
    else:
        start = f"What {clause.auxiliary} {clause.subject} {participle} by"
        yield Asked(question(start, "", clause), "passive", "medium")


def _infinitive(text: str) -> bool:
    words = [word for word in text.lower().split()[:2] if not word.endswith("ly")]
    return bool(words) and (words[0] in BASES or words[0] in ("be", "have", "study"))


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
    is_change = clause.verb in CHANGES and not re.match(r"(?:the|an?|its|their) ", clause.rest)
    if (
        clause.verb in _ASKED_FOR
        and is_object
        and not is_change
        and num_words(tail(clause.rest)) >= 2
    ):
        yield Asked(question(f"{start} {clause.verb}", "", clause), "object", "medium")
