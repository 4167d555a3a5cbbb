"""Questions from single sentences: what something is, needs or means, how much, when, who, why.

At most two pairs come from one sentence. The answer is the clause that says it, the quote the
sentence that holds the clause.
"""

import re
from collections.abc import Iterator

from evqa.qa.candidate import Candidate, Passage
from evqa.qa.grammar import is_self_contained, points_outside
from evqa.qa.offline.anchors import has_vague_thing, is_anchored
from evqa.qa.offline.asked import Asked
from evqa.qa.offline.clauses import Clause, clauses, without_connective
from evqa.qa.offline.numeric_questions import BEFORE_NUMBER, numeric_questions, tail
from evqa.qa.offline.plain import is_plain
from evqa.qa.offline.predicate_questions import definition, objects, passive
from evqa.qa.offline.situation_questions import leading_condition, situations
from evqa.qa.offline.statement_questions import confirmation, how, said_of
from evqa.qa.offline.vocabulary import Vocabulary
from evqa.qa.quantities import mentions
from evqa.segmentation import LineKind, lines, sentence_spans

MAX_PAIRS_PER_SENTENCE = 3
_DANGLING_TEXT = """
a an the and or its starting ranging including following depending according
"""
_DANGLING = frozenset(_DANGLING_TEXT.split())
# Questions that lean on their context most, and those of them that need a name.
_NAMED = frozenset({"yes", "said_of"})
_LEANING = _NAMED | {
    "condition",
    "when",
    "how",
    "why",
    "duty",
    "instruction",
    "by_whom",
    "who",
    "use",
}
# What holds in general, of things that need no name: "Do small cars …?".
_GENERAL = re.compile(
    r"(?:Is|Are|Do|Does|Can) (?!.*\b(?:the|each|every|all|any|several|other|new|it true)\b)",
    re.IGNORECASE,
)
# "Will it be announcing further …?": news of a day, and things that nobody has named.
_NEWS = re.compile(
    r"^Will .* be \w+ing\b|"
    r"\b(?:additional|further|certain|various|upcoming)\b",
    re.IGNORECASE,
)
# What nobody asks: whether something can be done, when a total was, who wants it.
_EMPTY = re.compile(r"\b(?:be|been) done\b|^[Ww]hen (?:was|were) a total of\b|^[Ww]ho wants\b")
# "What happens if a request is refused?": by whom, of what?
_UNTOLD = re.compile(r"What happens (?:if|when) (?:\w+ ){1,3}(?:is|are|be) \w+\?$")
_WHOLE = frozenset({"why", "when", "condition", "duty", "instruction"})
_THERE = re.compile(
    r"(?:(?P<lead>[A-Z][^,;:]{3,60}?),? )?[Tt]here (?P<be>are|were) "
    r"(?P<object>(?:[^,;:]|,(?=\d))+)"
)
_BRACKETS = re.compile(r"\s+\([^()]*\)")
# Of the document and its figures, not of the world.
_SHOWN = re.compile(
    r"(?:shown|depicted|presented|highlighted|denoted|included separately|excluded|provided as|"
    r"considered separately|based on)\b"
)
_ITEM_MARK = re.compile(r"- (?:\(?[A-Za-z0-9]{1,2}[.)] )?")
# What numbers requirements and sections: "A00.FR.401", "15.1.2", "M01".
_LABEL = re.compile(r"(?:[A-Z]{1,2}\d{2}(?:\.FR\.\d+)?|\d+(?:\.\d+)+\.?|\(?[a-z]\)) (?=[A-Z])")


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
    if not is_plain(sentence, vocabulary):
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


def _asked_of(sentence: str, vocabulary: Vocabulary) -> list[tuple[Asked, Clause | None]]:
    """Return the good questions of a sentence, each with its clause; null for the whole of it."""
    chosen: list[tuple[Asked, Clause | None]] = [
        (asked, None)
        for asked in leading_condition(sentence)
        if is_good(asked.question) and _tells(asked)
    ]
    plain = _BRACKETS.sub("", sentence)
    for clause in clauses(plain, vocabulary) if not re.search(r"[()]", plain) else ():
        if points_outside(clause.rest) or clause.rest.endswith(" there"):
            continue
        good = [asked for asked in ask(clause) if is_good(asked.question) and _tells(asked)]
        # That a statement holds is asked only where nothing else is.
        good = [asked for asked in good if asked.template != "yes"] or good
        chosen += [(asked, clause) for asked in good[:MAX_PAIRS_PER_SENTENCE]]
    return chosen


def _tells(asked: Asked) -> bool:
    """Tell whether a question about a statement says what it is about."""
    if _EMPTY.search(asked.question):
        return False
    if asked.template not in _LEANING:
        return True
    if has_vague_thing(asked.question):
        return False
    if asked.template == "yes" and _NEWS.search(asked.question):
        return False
    if asked.template == "condition" and _UNTOLD.match(asked.question):
        return is_anchored(asked.question)
    is_leaning = asked.template in _NAMED and not _GENERAL.match(asked.question)
    needs_name = is_leaning or " you " in asked.question
    return not needs_name or is_anchored(asked.question)


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
    noun_of, after = noun["noun"], noun["after"]
    if of := re.match(r" of [\w./-]+(?: [\w./-]+)?(?= (?:in|at|on|for|with)\b|$)", after):
        noun_of, after = f"{noun_of}{of[0]}", after[of.end() :]
    if not match["lead"] and " " not in noun_of:  # "How many roles are there?"
        return
    lead = match["lead"] or ""
    lead = lead[:1].lower() + lead[1:]
    words = f"How many {noun_of} {match['be']} there {tail(after)} {lead}"
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
    plain = _BRACKETS.sub("", sentence)
    if clause is None or asked.template in _WHOLE or len(clause.text) >= len(plain) - 1:
        text = without_connective(sentence)
    else:
        text = f"{without_connective(clause.text)}."
    return f"{'Yes. ' if asked.template == 'yes' else ''}{text[0].upper()}{text[1:]}"


def is_good(text: str) -> bool:
    """Tell whether a question reads as one that stands alone."""
    words = text.rstrip("?").split()
    is_vague = words[1:2] in (["can"], ["must"], ["may"]) and words[2:3] == ["you"]
    if not 4 + 2 * is_vague <= len(words) <= 26:
        return False
    if not is_self_contained(text.removeprefix("Is it true that ")):
        return False
    if re.search(r"\b(?:after|before|like|with|for|of|to|than|by) that\?$", text):
        return False
    if re.search(r"\b(?:e\.g|i\.e|etc|to compare|for (?:reference|comparison|instance))\b", text):
        return False
    has_odd_signs = re.search(r"[\"“”():;|]|, \w+\?$|\s-\s|\b(to|for|in|with|by|of) \1\b", text)
    return not has_odd_signs and words[-1].lower() not in _DANGLING


def ask(clause: Clause) -> Iterator[Asked]:
    """Yield every question that a clause answers, the most telling first."""
    if _SHOWN.match(clause.rest) or re.match(r"since (?!.*\d)", clause.lead):
        return
    if clause.is_past and re.fullmatch("the [a-z]+", clause.subject):  # one that was told of
        return
    if clause.subject == "you":
        yield from situations(clause)
        return
    for number, text in enumerate(numeric_questions(clause)):
        yield Asked(text, f"number_{number + 1}")
    yield from definition(clause)
    yield from situations(clause)
    yield from how(clause)
    yield from passive(clause)
    yield from objects(clause)
    yield from said_of(clause)
    yield from confirmation(clause)
