"""Questions for terms: what an abbreviation stands for, and what an entry of a glossary means."""

import re
from collections.abc import Iterator

from evqa.qa.candidate import Candidate, Passage
from evqa.qa.grammar import POINTING
from evqa.segmentation import LineKind, lines, num_words

_ABBREVIATED = re.compile(r"\((?P<short>[A-Z][A-Za-z]*[A-Z]\w{0,5})s?\)")
_SMALL_WORDS = frozenset({"of", "the", "and", "for", "in", "to", "a", "on", "with", "by"})
_ENTRY = re.compile(
    r"(?:- )?(?P<term>[A-Z][\w/&.-]*(?: [\w/&().-]+){0,4}?)(?:: | [–—] )"
    r"(?P<text>(?:An?|The|Any|One|Each|Charging|Electric|Device|Part|Time|Number|Maximum|Minimum|"
    r"Amount|Energy|System|Unit|Type|Process|Method|Protocol|Standard) [^|]{15,300}\.)$"
)
MAX_TERM_WORDS = 5
_NO_TERMS_TEXT = """
note example warning tip please not if for requirement important hint optional required attention
"""
_NO_TERMS = frozenset(_NO_TERMS_TEXT.split())


def term_questions(passage: Passage) -> Iterator[Candidate]:
    """Yield what the abbreviations and the glossary entries of a passage are asked by."""
    text = passage.chunk.text
    for line in lines(text):
        if line.kind in (LineKind.prose, LineKind.item):
            yield from _abbreviations(text, line.start, line.end)
            yield from _entry(line.text, line.start)


def _abbreviations(text: str, start: int, end: int) -> Iterator[Candidate]:
    for match in _ABBREVIATED.finditer(text, start, end):
        long = long_form(text[start : match.start()], match["short"])
        if long is None:
            continue
        begin = match.start() - len(long) - 1
        short = match["short"]
        for question in (
            f"What does {short} stand for?",
            f"What is {short} short for?",
            f"What is the long form of {short}?",
        ):
            yield Candidate(
                question=question,
                answer=f"{short} stands for {long}.",
                start=begin,
                end=match.end(),
                template="abbreviation",
            )


def long_form(before: str, short: str) -> str | None:
    """Return the words right before a bracket whose initials the abbreviation is made of.

    Schwartz and Hearst (2003), with initials only: letters inside words prove too little.
    """
    letters = [sign.lower() for sign in short if sign.isalpha()]
    words = before.rstrip().split(" ")
    taken: list[str] = []
    while letters and words and len(taken) < 2 * len(short):
        word = words.pop()
        taken.insert(0, word)
        parts = [part for part in re.split(r"[-/]", word) if part]
        initials = [part[0].lower() for part in parts]
        if letters[-len(initials) :] == initials:
            letters = letters[: -len(initials)]
        elif initials and letters[-1] == initials[0]:
            letters.pop()
        elif word.lower() not in _SMALL_WORDS:
            return None
    if taken and taken[0].lower() in _SMALL_WORDS:
        return None
    found = " ".join(taken)
    is_plain = re.fullmatch(r"[A-Za-z][\w/’'& -]+", found) and before.endswith(f"{found} ")
    return found if not letters and is_plain and len(taken) > 1 else None


def _entry(line: str, start: int) -> Iterator[Candidate]:
    match = _ENTRY.match(line)
    if match is None or num_words(match["term"]) > MAX_TERM_WORDS:
        return
    term = match["term"]
    if POINTING.search(term) or term.split()[0].lower() in _NO_TERMS:
        return
    for question in (f"What does the term {term} mean?", f"What is meant by {term}?"):
        yield Candidate(
            question=question,
            answer=f"{term}: {match['text']}",
            start=start + match.start("term"),
            end=start + match.end("text"),
            template="term",
        )
