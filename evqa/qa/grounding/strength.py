"""Does an answer claim more than its source: must for may, all for most, solely for chiefly?"""

import itertools
import re
from dataclasses import dataclass

from evqa.qa.grounding.meaning import BASES
from evqa.qa.grounding.reading import Reading, read

QUESTION_WEIGHT = 0.3
_TIME = (
    r"(?:other |single )?(?:\d|second|minute|hour|day|night|week|month|year|time|two|three|four|"
    r"five|ten|km|mile|kilomet)"
)
_ALL = re.compile(
    rf"\b(?:all|any(?! (?:more|other))|always|every(?! {_TIME})|invariably|everyone|everywhere|"
    r"everything|whenever|whatever|regardless|unconditionally|at all times|without exception|"
    r"guaranteed?)\b",
    re.IGNORECASE,
)
_ALL_GIVEN = re.compile(
    r"\b(?:all|any|always|every|each|invariably|everyone|everywhere|everything|whenever|whatever|"
    r"regardless|both|never|no|none|wherever|either|guarantee\w*|without)\b",
    re.IGNORECASE,
)
_ENTIRELY = re.compile(r"\b(?:entirely|completely|wholly)\b", re.IGNORECASE)
_ENTIRELY_GIVEN = re.compile(
    r"\b(?:entire(?:ly)?|complete(?:ly)?|whole|wholly|full|fully|all|any|no|none|never|total(?:ly)?)"
    r"\b",
    re.IGNORECASE,
)
_ONLY = re.compile(r"\b(?:only|solely|exclusively|merely|purely)\b|\bnothing but\b", re.IGNORECASE)
_ONLY_GIVEN = re.compile(
    r"\b(?:only|solely|exclusive(?:ly)?|merely|purely|just|alone|nothing|except|but not|unless|"
    r"(?:limit|restrict|reserv|confin)\w*|sole|single|one|no more than|until|none|dedicated)\b",
    re.IGNORECASE,
)
_MUST = re.compile(
    r"\b(?:must|shall|ha(?:ve|s|d) to|required to|requires?|mandatory|compulsory|obligat\w+|"
    r"obliged|is required|are required)\b",
    re.IGNORECASE,
)
_MUST_GIVEN = re.compile(
    r"\b(?:must|shall|ha(?:ve|s|d) (?:\w+ )?to|need\w*|requir\w*|mandat\w*|compulsory|"
    r"oblig\w*|necessary|only|prescrib\w*|stipulat\w*|demand\w*|asks?|enforce\w*|bound to|is to|"
    r"are to|calls? for|provided|condition|only if|may not|no \w+ may|insist\w*|unless|until)\b",
    re.IGNORECASE,
)
_MAY = re.compile(
    r"\b(?:may|might|could|can|optional(?:ly)?|possibly|perhaps)\b(?! not)", re.IGNORECASE
)
_MAY_GIVEN = re.compile(
    r"\b(?:may|might|could|can|cannot|able|optional\w*|possib\w*|perhaps|allow\w*|permit\w*|up to|"
    r"likely|sometimes|some|risk|potential\w*|enabl\w*|let|lets|capable|often)\b",
    re.IGNORECASE,
)
_SHOULD = re.compile(r"\b(?:should|recommend\w*|advis\w+|ought|suggest\w*)\b", re.IGNORECASE)
_SHOULD_GIVEN = re.compile(
    r"\b(?:should\w*|recommend\w*|advis\w+|ought|best|better|suggest\w*|prefer\w*|sensible|wise|"
    r"ideal\w*|good practice)\b",
    re.IGNORECASE,
)
_MOST = re.compile(
    r"\b(?:most(?! (?:\w+ly )?\w+(?:ent|ive|ful|ant|al)\b)|mostly|mainly|chiefly|usually|"
    r"typically|generally|normally|often|primarily|largely|predominantly|the majority|many|"
    r"commonly|frequently)\b",
    re.IGNORECASE,
)
_FEW = re.compile(
    r"\b(?:some|sometimes|few|several|occasional(?:ly)?|rarely|seldom|a minority|a handful|never|"
    r"hardly|half)\b",
    re.IGNORECASE,
)
_QUANTIFIERS = {
    "all": "all", "every": "all", "each": "all", "any": "all", "most": "most", "many": "many",
    "some": "some", "several": "some", "few": "few", "no": "no", "both": "both",
}  # fmt: skip
_ORDER = re.compile(
    r"(?:^|[,;:.] )(?:please |then |and )?(?:do not|never|always|(?P<verb>[a-z]+) "
    r"(?:the|your|a|it)\b)",
    re.IGNORECASE,
)
_HEDGED = re.compile(
    r"\b(?:can|may|could|might) (?:\w+ ){1,4}(?:up to|as (?:much|many|little) as)\b", re.I
)
_CONDITION = re.compile(
    r"\b(?:up to|as (?:much|many|little) as|can|may|could|might|maximum|at most|potentially)\b",
    re.I,
)
# "1.5 times the normal rate", "half the current": the amount is not the rate itself.
_TIMES = re.compile(
    r"\b(?:times|half|twice|double|triple|an? (?:third|quarter|fifth|tenth))(?: of)? "
    r"(?:the|its|their) ([\w.-]+ [\w-]+)",
    re.IGNORECASE,
)
_TIMES_SAID = re.compile(r"\b(?:half|twice|double|triple|third|quarter|times)\b", re.I)
_VERB = re.compile(r"\b(?:\w+s|\w+ed|is|are|will) (?:by|to|at)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Claim:
    """Words that claim something strong.

    Attributes:
        name: For the reason.
        said: What claims it.
        given: What in the source or question allows it.
        instead: What the source must say else; null: saying nothing is enough.
    """

    name: str
    said: re.Pattern[str]
    given: re.Pattern[str]
    instead: re.Pattern[str] | None = None


_CLAIMS = (
    _Claim("all", _ALL, _ALL_GIVEN),
    _Claim("entirely", _ENTIRELY, _ENTIRELY_GIVEN),
    _Claim("only", _ONLY, _ONLY_GIVEN),
    _Claim("must", _MUST, _MUST_GIVEN),
    _Claim("may", _MAY, _MAY_GIVEN, _MUST),
    _Claim("should", _SHOULD, _SHOULD_GIVEN, _MUST),
    _Claim("most", _MOST, _MOST, re.compile(f"{_FEW.pattern}|{_ALL.pattern}", re.IGNORECASE)),
    _Claim("some", _FEW, _FEW, re.compile(f"{_MOST.pattern}|{_ALL.pattern}", re.IGNORECASE)),
)


def strength_clash(answer: str, quote: str, question: str) -> str | None:
    """Return what an answer claims that its source does not, null for nothing."""
    source = restated(answer, quote, question)
    given = f"{source} {question}"
    for claim in _CLAIMS:
        match = claim.said.search(answer)
        if not match or claim.given.search(given):
            continue
        if claim.name == "must" and _orders(source):
            continue
        if claim.instead is None or claim.instead.search(source):
            return f"the answer says {match[0]!r}, the quote does not"
    if found := _other_quantifier(read(answer), read(quote)):
        return found
    for match in _TIMES.finditer(quote):
        if f" {match[1].lower()}" in f" {answer.lower()}" and not _TIMES_SAID.search(answer):
            return f"the answer leaves out {match[0]!r}"
    is_rule = _VERB.search(answer) and not _CONDITION.search(f"{answer} {question}")
    if is_rule and _HEDGED.search(source):
        return "the answer says as a rule what the quote says can be"
    return None


def _orders(text: str) -> bool:
    """Tell whether a text gives orders: then what it says must be done."""
    return any(
        not match["verb"] or match["verb"].lower() in BASES for match in _ORDER.finditer(text)
    )


def _other_quantifier(answer: Reading, source: Reading) -> str | None:
    """Return how many of a thing an answer speaks of, where its source speaks of others."""
    ours, theirs = _quantified(answer), _quantified(source)
    for noun, said in ours.items():
        if noun in theirs and not said & theirs[noun]:
            return f"{min(said)} where the quote says {min(theirs[noun])}"
    return None


def _quantified(text: Reading) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    words = [token for token in text.tokens if token.text not in ("of", "the", "these", "such")]
    for number, (one, two) in enumerate(itertools.pairwise(words)):
        is_share = one.amount and (one.plain.endswith("%") or words[number - 1].text == "in")
        said = "a share" if is_share and number else _QUANTIFIERS.get(one.text)
        if said and two.is_content and not two.amount:
            found.setdefault(two.plain, set()).add(said)
    return found


def restated(answer: str, quote: str, question: str) -> str:
    """Return the parts of a quote that an answer restates: those that share most with it."""
    source, said, asked = read(quote), read(answer).roots, read(question).roots
    scores = [
        (len(said & roots) + QUESTION_WEIGHT * len((asked - said) & roots), part)
        for part in source.parts
        for roots in [frozenset(token.root for token in part if token.is_content)]
    ]
    best = max((score for score, _ in scores), default=0.0)
    return " ".join(
        source.text[part[0].start : part[-1].end] for score, part in scores if score >= best - 0.5
    )
