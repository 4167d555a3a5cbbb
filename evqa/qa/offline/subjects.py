"""Which words can be the subject of a question that a stranger understands, and of what kind."""

import re

from evqa.qa.grammar import BASES, DETERMINERS, POINTING, is_plural
from evqa.qa.wordings import KNOWN_THINGS

_BAD_START = re.compile(
    r"^(?:let['’]s|let|please|further|furthermore|incidentally|it|this|that|whoever|according|these|those|there|they|he|she|we|i|you|who|what|which|"
    r"when|where|why|how|if|"
    r"because|although|though|while|since|as|after|before|until|unless|once|whether|and|or|but|so|"
    r"not|only|even|just|yes|no|nor|both|either|others?|some|many|few|most of them|"
    r"should|would|could|may(?! \d)|must|will|do|does|did|is|are|was|were|has|have|had|"
    r"similar|related|every time|each time|"
    r"further|additional|higher|lower|larger|greater|smaller|(?:more|less|fewer)(?! than)|"
    r"most [a-z]+(?:ant|ive|al|ent|ed|ing|ous|ful|ble|ary)|one|two|three|four|five|six|"
    r"outside|inside|within|through|across|among|above|below|except|besides|unlike|like|"
    r"the (?:one|ones|two|three|next|other|second|third|last)(?! of)|in|at|on|for|from|to|"
    r"by|with|without|under|over|during|behind|beside|between|of|here|now|then|also|still|later|"
    r"today|probably|perhaps|maybe|thereafter|afterwards|finally|usually|often|never|always|"
    r"take|put|turn|ask|look|count|"
    r"measure|press|record|choose|check|compare|note|suppose|imagine|think|remember|keep)\b",
    re.IGNORECASE,
)
_NO_HEAD = DETERMINERS | {"to", "of", "in", "by", "used", "for", "with", "on", "at", "from"}
MAX_SUBJECT_WORDS = 14
_ORDERS_TEXT = """
make ensure check select see set go open click add enter provide note install connect configure
enable run start stop turn use keep take give get put choose find create update remove replace
read write follow consider refer specify define verify download
"""
_ORDERS = frozenset(_ORDERS_TEXT.split())
_ENTRY = re.compile(
    r"[a-z] [A-Z][a-z]+ing (?=[a-z])| (?:An|The|This|When|If|Each|Your|More) |"
    r"(?<!\d) A (?=[a-z]{3,})| whether |^\d+ [A-Z]|"
    r"^(?:[Hh]aving|[Ii]ncluding|[Gg]iven)\b|\b(?i:(\w{4,}) \1)\b|\b(?i:(\w+ \w{4,})\b.* \2)\b"
)
_AUXILIARY = re.compile(r"\b(?:do|does|did|not|cannot|how|whether|what|your?)\b", re.IGNORECASE)
# Verbs without an object have no participle: what follows is no part of the subject.
_ENDED = re.compile(
    r"\b(?:occurred|happened|arrived|remained|became|existed|rose|went|grew|fell)\b"
)
_ONLY_NUMBER = re.compile(r"[\d,. ]+(?: or (?:fewer|more|less))?")
# Sales of what? Prices of what?
_OF_WHAT = re.compile(
    r"(?:sales|prices|costs|exports|imports|shares|values|results|levels|rates)"
    r"(?: (?:in|from|by|at|to|for|on)\b.*)?$",
    re.IGNORECASE,
)
_BEFORE_ARTICLE_TEXT = """
of in on at for with from to by as than and or that which who under over between through into
within without during before after via per behind across against about around along inside outside
using including near beyond towards toward both not until since is are was were has have had be
except besides among
"""
_SPANS = frozenset({"minute", "hour", "day", "week", "month", "year", "time"})  # "twice a day"
_BEFORE_ARTICLE = frozenset(_BEFORE_ARTICLE_TEXT.split())
_LIST_OF_NAMES = re.compile(
    r"(?:[A-Z][\w&.-]*(?: [A-Z][\w&.-]*){0,3}, )+"
    r"(?:and )?[A-Z][\w&.-]*(?: [A-Z][\w&.-]*){0,3}(?: and [A-Z][\w&.-]*(?: [A-Z][\w&.-]*)*)?"
)
_YEAR = re.compile(r"(?:19|20)\d\d")
_TELLING = frozenset({"of", "for", "in", "to", "that", "which", "who", "with", "from", "between"})
_PERSONS_TEXT = """
operator driver user customer owner manufacturer maker carmaker automaker company provider partner
installer electrician household consumer member supplier developer implementer vendor investor
official regulator government agency organisation organization authority administration person
people party applicant recipient buyer seller retailer worker technician engineer producer adopter
employer employee tenant landlord resident business community utility stakeholder office
department commission foundation council association committee secretary president ministry
union parliament congress alliance consortium institute university bank court
"""
_PERSONS = frozenset(_PERSONS_TEXT.split())


def is_subject(text: str) -> bool:
    """Tell whether words can be the subject of a question that stands alone."""
    words = text.split()
    if text.lower() == "you":
        return True
    if text.lower() in _NO_HEAD:
        return False
    if not words or len(words) > MAX_SUBJECT_WORDS or _is_no_name(text, words):
        return False
    if _is_order(words) or _is_fragment(text) or _has_inner_clause(words):
        return False
    return not _is_vague(words) and len(text) > 2


def _is_no_name(text: str, words: list[str]) -> bool:
    """Tell whether words are a list, have odd signs, or point at what was said before."""
    is_list = "," in text and not _LIST_OF_NAMES.fullmatch(text)
    is_pointing = _BAD_START.match(text) or POINTING.search(text) or words[-1] in _NO_HEAD
    return bool(is_list or is_pointing or re.search("[:(—]", text))


def _is_order(words: list[str]) -> bool:
    """Tell whether words are an order, or half of one: "Use case", "Have targets"."""
    first = words[0].lower()
    if first in _ORDERS or (len(words) == 1 and first.endswith(("ly", "ed"))):
        return True
    is_short = len(words) <= 3 and first[-1] != "s"
    return first in BASES and (is_short or words[1:2] in (["the"], ["a"], ["an"], ["all"]))


def _is_fragment(text: str) -> bool:
    """Tell whether words are the term of a glossary with its sentence, or half of a clause."""
    is_begun = any(found.search(text) for found in (_ENTRY, _AUXILIARY, _ENDED))
    return is_begun or bool(_ONLY_NUMBER.fullmatch(text) or _OF_WHAT.match(text))


def _has_inner_clause(words: list[str]) -> bool:
    """Tell whether a second subject begins inside: "the time a charger is …"."""
    return any(
        word in ("a", "an", "the")
        and not before.endswith("ing")
        and before not in BASES
        and before not in _BEFORE_ARTICLE
        and after not in _SPANS
        for before, word, after in zip(words, words[1:], [*words[2:], ""], strict=False)
    )


def _is_vague(words: list[str]) -> bool:
    """Tell whether words are "the box" or "the red line": said before, which no question knows.

    A name, a number or what follows a preposition tells which one is meant.
    """
    if words[0].lower() != "the" or len(words) < 2:
        return False
    is_told = any(
        (not word.islower() and not _YEAR.fullmatch(word)) or word in _TELLING
        for word in words[1:]
    )
    return not is_told and words[-1].removesuffix("s") not in KNOWN_THINGS


def is_person(noun_phrase: str) -> bool:
    """Tell whether a subject is somebody, who is asked for with "who"."""
    head = re.split(r" (?:of|in|on|with|for|at|from|to|by|that|which|who) ", noun_phrase)[0]
    words = head.split()
    # "the company Mennekes": a name at the end has its kind before it.
    asked = [words[-1], *(words[-2:-1] if words[-1][0].isupper() else [])]
    return any(
        not _PERSONS.isdisjoint({word, word.removesuffix("s"), f"{word.removesuffix('ies')}y"})
        for word in map(str.lower, asked)
    )


def may_be_many(subject: str) -> bool:
    """Tell whether a subject can stand before "are": plurals, amounts and groups."""
    return is_plural(subject) or subject == "you" or bool(_MANY.search(subject))


def is_surely_plural(subject: str) -> bool:
    """Tell whether a subject cannot stand before "is": plurals that are no names."""
    head = re.split(r" (?:of|in|on|with|for|at|from|to|that|which|who) ", subject)[0]
    return is_plural(subject) and " and " not in subject and head.split()[-1].islower()


_MANY = re.compile(
    r"\d|%|\b(?:people|data|police|majority|number|variety|range|half|most|many|few|several|all|"
    r"some|more|media|criteria|staff|two|three|third|quarter|percent|women|men|children)\b"
)
