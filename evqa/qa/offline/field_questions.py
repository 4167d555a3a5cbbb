"""Questions from tables of fields that lost their lines: name, type, cardinality, description.

PDFs of protocols list their fields that way, one after another in a paragraph:
``party_id string(3) yes Party ID of the CPO. token_uid string(36) yes …``.
"""

import re
from collections.abc import Iterator, Sequence

from evqa.qa.candidate import Candidate, Passage
from evqa.qa.grammar import POINTING
from evqa.segmentation import LineKind, lines, num_words, sentence_spans

MIN_MEANING_WORDS, MAX_MEANING_WORDS = 3, 40
_FIELD = re.compile(
    r"(?<!\S)(?P<name>[a-z][a-z0-9]+(?:[A-Z_]\w*)?) "
    r"(?P<type>[A-Za-z]*[Ss]tring(?:\[[\d.]+\]|\(\d+\))?|int(?:eger)?(?:\(\d+\))?|decimal|boolean|"
    r"[dD]ateTime|URL|number|[A-Z]\w+) "
    r"(?P<needed>\?|[*+]|[01]\.\.[1-9n*]|[01]|yes|no)(?!\S)"
)
_NEEDED = {"1": "required", "1..1": "required", "yes": "required"}
_NEEDED |= {"?": "optional", "0..1": "optional", "no": "optional"}
_CODE = re.compile(r"[a-z][A-Z]|_")
_NUMBERED = re.compile(r"^[\d.]+\s*")
_PLACE = re.compile(r"[A-Za-z]\w*(?:\.(?:req|conf)|Type|Request|Response)|[A-Z]\w+ module")
_OWNER = re.compile(
    r"\b\d+(?:\.\d+)+ (?:(?P<name>(?!GET|PUT|POST|PATCH)[A-Z]\w+) (?P<kind>[Oo]bject|class)\b|"
    r"Request|Response|GET|PUT|POST|PATCH|DELETE)"
)
MAX_BEFORE = 15_000
_DEBRIS = re.compile(
    r"\d+\.\d+\.\d|[{}<>|*?+]|\b[A-Z]\w+ [01] [A-Z]|"
    r"\b(?:Property|Parameter|FIELD|Field) (?:Type|NAME|Data)"
)


def field_questions(passage: Passage) -> Iterator[Candidate]:
    """Yield what a field means and whether it is required, where headings say whose it is."""
    place = place_of(passage.chunk.headings)
    for line in lines(passage.chunk.text):
        if line.kind is LineKind.prose:
            found = list(_FIELD.finditer(line.text))
            ends = [*(match.start() for match in found[1:]), len(line.text)]
            for match, end in zip(found, ends, strict=False):
                start = passage.chunk.start + line.start + match.start()
                owner = owner_of(passage.document.text[max(0, start - MAX_BEFORE) : start])
                if owner or place:
                    after = line.text[match.end() : end]
                    yield from _of_field(match, line.start, after, owner or place)


def owner_of(before: str) -> str:
    """Return "in the Tariff object" for the numbered title that a field stands under.

    Args:
        before: The text before the field.
    """
    titles = list(_OWNER.finditer(before))
    if not titles or titles[-1]["name"] is None:
        return ""
    return f"in the {titles[-1]['name']} {titles[-1]['kind'].lower()}"


def place_of(headings: Sequence[str]) -> str:
    """Return "in Authorize.req", "in the Sessions module"; empty when no heading tells."""
    for heading in reversed(headings):
        title = _NUMBERED.sub("", heading).strip()
        if _PLACE.fullmatch(title):
            return f"in the {title}" if title.endswith(" module") else f"in {title}"
    return ""


def _of_field(match: re.Match[str], offset: int, after: str, place: str) -> Iterator[Candidate]:
    name, needed = match["name"], _NEEDED.get(match["needed"])
    is_code = _CODE.search(name) is not None
    kind = "parameter" if place.endswith(" module") else "field"
    field = name if is_code else f"the {kind} {name}"
    meaning = _meaning(after)
    whole = match.end() + (meaning[1] if meaning else 0)
    asked: list[tuple[str, str, int]] = []
    if meaning:
        said = f"{field} {place}: {meaning[0]}"
        asked.append((f"What does {field} mean {place}?", said, whole))
        asked.append((f"What is {field} used for {place}?", said, whole))
    if needed and meaning:
        is_needed = f"{field} is {needed} {place}."
        asked.append((f"Is {field} required or optional {place}?", is_needed, whole))
        a_type = f"The type of {field} {place} is {match['type']}."
        # what follows may say "no": that it is optional, and nothing of its type
        end = match.end("type")
        asked.append((f"What is the type of {field} {place}?", a_type, end))
        asked.append((f"Which type does {field} have {place}?", a_type, end))
    for question, answer, end in asked:
        yield Candidate(
            question=question,
            answer=answer[0].upper() + answer[1:] if answer.startswith("the ") else answer,
            start=offset + match.start(),
            end=offset + end,
            template="field",
            difficulty="medium",
        )


def _meaning(after: str) -> tuple[str, int] | None:
    """Return the first sentence of a description and where it ends, null for an unclean one."""
    text = re.sub(r"^(\s*)(?:Required|Optional)\. ", r"\1", after)
    cut = len(after) - len(text)
    spans = sentence_spans(text)
    if not spans:
        return None
    start, end = spans[0]
    said = text[start:end]
    is_sized = MIN_MEANING_WORDS <= num_words(said) <= MAX_MEANING_WORDS
    is_clean = said[0].isupper() and not _DEBRIS.search(said) and not POINTING.match(said)
    is_clean = is_clean and said.count("(") == said.count(")") and "http" not in said
    return (f"{said.rstrip('.* ')}.", cut + end) if is_sized and is_clean else None
