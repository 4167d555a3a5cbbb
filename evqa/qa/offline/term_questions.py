"""Questions for terms: what an abbreviation stands for, and what an entry of a glossary means."""

import re
from collections.abc import Iterator

from evqa.qa.candidate import Candidate, Passage
from evqa.qa.grammar import POINTING
from evqa.qa.offline.clauses import is_statement
from evqa.segmentation import LineKind, lines, num_words, sentences

_ABBREVIATED = re.compile(r"\((?P<short>[A-Z][A-Za-z]*[A-Z]\w{0,5})s?\)")
_SPELLED_OUT = re.compile(
    r"\b(?P<short>[A-Z][A-Za-z]*[A-Z]\w{0,5}) \((?P<inside>[A-Z][\w/’'& -]+)\)"
)
_LISTED = re.compile(
    r"(?:[-|] )?(?P<short>[A-Z][A-Za-z]*[A-Z]\w{0,5})(?::| [–|-])? "
    r"(?P<inside>[A-Za-z][\w/’'& -]+?)\.?(?: \||$)"
)
_SMALL_WORDS = frozenset({"of", "the", "and", "for", "in", "to", "a", "on", "with", "by"})
_ENTRY = re.compile(
    r"(?:- )?(?P<term>[A-Z][\w/&.-]*(?: [\w/&().-]+){0,4}?)(?:: | [–—] )"
    r"(?P<text>(?:An?|The|Any|One|Each|Charging|Electric|Device|Part|Time|Number|Maximum|Minimum|"
    r"Amount|Energy|System|Unit|Type|Process|Method|Protocol|Standard) [^|]{15,300}\.)$"
)
_ROW = re.compile(
    r"\| (?P<term>[A-Z][a-z][^|:;?]{2,50}?) \| "
    r"(?P<text>(?:The|An?|Any) (?!longer|more)(?:[^|&_.]|\.(?=\w)){25,250}\.)(?= )"
)
MAX_TERM_WORDS = 5
_NO_TERMS_TEXT = """
note example warning tip please not if for requirement important hint optional required attention
possible default
"""
_NO_TERMS = frozenset(_NO_TERMS_TEXT.split())


def term_questions(passage: Passage) -> Iterator[Candidate]:
    """Yield what the abbreviations and the glossary entries of a passage are asked by."""
    text = passage.chunk.text
    for line in lines(text):
        if line.kind in (LineKind.prose, LineKind.item):
            yield from _abbreviations(text, line.start, line.end)
            yield from _spelled_out(line.text, line.start)
            yield from _entry(line.text, line.start)
        elif line.kind is LineKind.row:
            yield from _spelled_out(line.text, line.start)
            yield from _row(line.text, line.start)


def _abbreviations(text: str, start: int, end: int) -> Iterator[Candidate]:
    for match in _ABBREVIATED.finditer(text, start, end):
        long = long_form(text[start : match.start()], match["short"])
        if long is not None:
            begin = match.start() - len(long) - 1
            yield from _of_abbreviation(match["short"], long, begin, match.end())


def _spelled_out(line: str, start: int) -> Iterator[Candidate]:
    """Ask for "OCPP (Open Charge Point Protocol)" and for lines of a list of abbreviations."""
    listed = _LISTED.match(line)
    for match in [*_SPELLED_OUT.finditer(line), *([listed] if listed else [])]:
        long = match["inside"]
        if long_form(f"{long} ", match["short"]) == long:
            begin, end = start + match.start("short"), start + match.end("inside")
            yield from _of_abbreviation(match["short"], long, begin, end)


def _of_abbreviation(short: str, long: str, start: int, end: int) -> Iterator[Candidate]:
    for question in (
        f"What does {short} stand for?",
        f"What is {short} short for?",
        f"What is the long form of {short}?",
        f"What is the abbreviation for {long}?",
    ):
        yield Candidate(
            question=question,
            answer=f"{short} stands for {long}.",
            start=start,
            end=end,
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
    found = re.sub(r"[’']s$", "", " ".join(taken))
    is_plain = re.fullmatch(r"[A-Za-z][\w/’'& -]+", found) and before.rstrip("’'s ").endswith(
        found.rstrip("s")
    )
    return found if not letters and is_plain and len(taken) > 1 else None


def _row(line: str, start: int) -> Iterator[Candidate]:
    """Ask for a row of a glossary: the term, and the words that say what it is."""
    match = _ROW.match(line)
    if match is None or match["term"].split()[0].lower() in _NO_TERMS:
        return
    if num_words(match["term"]) <= MAX_TERM_WORDS and not is_statement(match["text"]):
        yield from _of_term(match, start)


def _entry(line: str, start: int) -> Iterator[Candidate]:
    match = _ENTRY.match(line)
    if match is None or num_words(match["term"]) > MAX_TERM_WORDS:
        return
    term = match["term"]
    if POINTING.search(term) or term.split()[0].lower() in _NO_TERMS:
        return
    is_word = num_words(term) == 1 and match["text"].startswith("The ")
    if is_word or is_statement(sentences(match["text"])[0]):
        return
    yield from _of_term(match, start)


def _of_term(match: re.Match[str], start: int) -> Iterator[Candidate]:
    term = match["term"]
    for question in (f"What does the term {term} mean?", f"What is meant by {term}?"):
        yield Candidate(
            question=question,
            answer=f"{term}: {match['text']}",
            start=start + match.start("term"),
            end=start + match.end("text"),
            template="term",
        )
