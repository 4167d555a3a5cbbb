"""The little English grammar that asking questions needs: verbs, their forms, and pointing words.

Verbs are those of technical prose; a sentence whose verb is not here gives no question, which
costs a pair and never a wrong one.
"""

import re

_REGULAR_TEXT = """
accept account achieve act add adjust adopt affect agree allow amount answer appear apply
approve arrive ask assume attach avoid balance begin benefit bill block bridge call carry cause
change charge check claim close combine come communicate compare comply comprise confirm
connect consider consist consume contain continue control convert cool correspond cost count
cover create decide decline define deliver demand depend derive describe design detect
determine develop differ disconnect discourage display divide double drain drop earn enable
encourage end enforce ensure enter equal equip estimate exceed exclude exist expect explain
extend fail fall fasten feed fill finish fit fix follow forbid force form found function gain
generate get give govern grow handle happen heat help hold identify ignore impose improve
include increase indicate inform insist install interrupt introduce invent invite involve
isolate join keep lack last lead leave let levy lie limit list load lock lose lower maintain
make manage mark match matter mean measure meet mention monitor move name need negotiate obtain
occupy offer open operate oversee own pause pay perform permit place plan power predict
prescribe present prevent produce prohibit promise protect prove provide publish pull push put
raise range rate reach receive recognise recommend recover reduce refer register regulate
release rely remain remove repeat replace report represent require reserve resist rest restrict
result retain return reveal rise run save say see sell send separate serve set settle share
show shrink signal specify spend stand start state stay stop store suffer suggest suit supply
support switch take talk taper target tell terminate test tie top total track transfer transmit
transport travel treat trigger trip turn use vary verify wait want warn waste watch weigh work
write yield
accelerate acquire address administer advance aim allocate amend analyse analyze announce approve
assemble assess assist authenticate authorise authorize boost calculate cancel certify classify
collect compute conduct configure constitute consult coordinate decode delay delete delegate denote
deny deploy discover distribute document download embed emit emphasise employ encode encompass
encrypt engage enhance examine execute expand explore express facilitate feature finance focus
forward grant guarantee guide highlight host implement incorporate indicate initiate insert
inspect install integrate invoke launch leverage listen locate mandate manufacture map maximise
minimise modify notify oblige offset outline overview participate pass perform populate prepare
prioritise process promote propose publish pursue query reboot recall receive record reflect reject
release render request respond restart retrieve revoke reward route sample schedule secure select
signify simulate simplify solve sponsor state strengthen submit subscribe supervise suspend
synchronise tackle terminate transform translate unlock update upgrade upload utilise validate
visualise waive note triple comment stress warn complete create award fund invest commit
experience represent amount surge plunge observe recognize organise organize utilize replenish
"""
_REGULAR = _REGULAR_TEXT.split()
_IRREGULAR_PAST = {
    "began": "begin", "came": "come", "cost": "cost", "fell": "fall", "fed": "feed",
    "forbade": "forbid", "got": "get", "gave": "give", "grew": "grow", "held": "hold",
    "kept": "keep", "led": "lead", "left": "leave", "lost": "lose", "made": "make",
    "meant": "mean", "met": "meet", "paid": "pay", "ran": "run", "rose": "rise", "said": "say",
    "sold": "sell", "sent": "send", "set": "set", "spent": "spend", "stood": "stand",
    "took": "take", "told": "tell", "wrote": "write", "chose": "choose", "became": "become",
    "built": "build", "found": "find", "brought": "bring", "sought": "seek",
    "bought": "buy", "drew": "draw", "put": "put", "saw": "see",
}  # fmt: skip
_MORE = (
    "notify",
    "find",
    "bring",
    "seek",
    "tend",
    "adapt",
    "decrease",
    "double",
    "bind",
    "hang",
    "sit",
    "solve",
    "deduct",
    "sign",
    "become",
    "build",
    "buy",
    "choose",
    "draw",
    "flow",
    "induce",
    "issue",
    "specialise",
    "sum",
)
BASES = frozenset([*_REGULAR, *_MORE])
_VOWELS = "aeiou"
_DOUBLING = frozenset(
    {"drop", "fit", "stop", "trip", "top", "tap", "permit", "admit", "ship", "refer"}
)

BE = {"is": "is", "are": "are", "was": "was", "were": "were"}
MODALS = frozenset({"can", "shall", "must", "may", "should", "will", "could", "might", "would"})

# A subject or a question with one of these points at something outside itself.
POINTING = re.compile(
    r"\b(?:this|these|those|such|it|its|itself|themselves|they|them|their|theirs|here|above|below|he|she|his|"
    r"her|we|our|us|i|my|me|the (?:same|latter|former|rest|reverse|opposite|others?|idea|trick|"
    r"point is|(?:figures?|numbers?|answers?|reasons?|results?|sum|rule|difference|case)"
    r"(?! (?:of|for|between)\b))|another|"
    r"the other|both|neither|thus|hence|so far|likewise|then|too|also|instead|otherwise|however|"
    r"therefore|meanwhile|again|nobody|nothing|somewhere|somebody|everybody|anybody|one of them|"
    r"respective|respectively|similarly|an? [a-z]+ one|the ones?|"
    r"(?:do|doing|done) so|now|today|yesterday|though|aforementioned|"
    r"as well|previous(?:ly)?|accordingly|as usual(?:ly)?|afterwards|that (?:month|day|week|same)|"
    r"the next|"
    r"(?:previous|preceding|following|last) (?:section|chapter|paragraph|page|step|figure)|"
    r"(?:different|following|corresponding|latest) (?:scenario|case|example|data)|tomorrow|"
    r"the first one|that (?:way|is why|limit|rule|price|figure|sum|year|car|number|case|time))\b",
    re.IGNORECASE,
)
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
_DETERMINERS_TEXT = """
a an the each every most all any no some many few several older newer modern public private
typical ordinary
"""
DETERMINERS = frozenset(_DETERMINERS_TEXT.split())
HEDGES = frozenset({"around", "about", "nearly", "almost", "over", "roughly", "approximately"})
_NO_HEAD = DETERMINERS | {"to", "of", "in", "by", "used", "for", "with", "on", "at", "from"}
MAX_SUBJECT_WORDS = 14
_ORDERS_TEXT = """
make ensure check select see set go open click add enter provide note install connect configure
enable run start stop turn use keep take give get put choose find create update remove replace
read write follow consider refer specify define verify download
"""
_ORDERS = frozenset(_ORDERS_TEXT.split())
_ENTRY = re.compile(
    r" (?:An|The|This|When|If|Each|Your|More) |(?<!\d) A (?=[a-z]{3,})| whether |^\d+ [A-Z]|"
    r"^(?:[Hh]aving|[Ii]ncluding|[Gg]iven)\b|\b(?i:(\w{4,}) \1)\b|\b(?i:(\w+ \w{4,})\b.* \2)\b"
)
_AUXILIARY = re.compile(r"\b(?:do|does|did|not|cannot|how|whether|what|your?)\b", re.IGNORECASE)
# Verbs without an object have no participle: what follows is no part of the subject.
_ENDED = re.compile(
    r"\b(?:occurred|happened|arrived|remained|became|existed|rose|went|grew|fell)\b"
)
_ONLY_NUMBER = re.compile(r"[\d,. ]+(?: or (?:fewer|more|less))?")
_LIST_OF_NAMES = re.compile(
    r"(?:[A-Z][\w&.-]*(?: [A-Z][\w&.-]*){0,3}, )+"
    r"(?:and )?[A-Z][\w&.-]*(?: [A-Z][\w&.-]*){0,3}(?: and [A-Z][\w&.-]*(?: [A-Z][\w&.-]*)*)?"
)
# "The driver" is any driver; "the box" is one that was spoken of before.
_KNOWN_THINGS_TEXT = """
battery vehicle driver charger car grid user operator customer charging client server protocol
manufacturer owner electrician installer installation socket connector plug contactor meter
firmware microcontroller certificate token transaction session reservation tariff
"""
_KNOWN_THINGS = frozenset(_KNOWN_THINGS_TEXT.split())
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


def third_person(base: str) -> str:
    """Return the form for he, she and it: needs, carries, passes."""
    if base.endswith(("s", "x", "z", "ch", "sh", "o")):
        return f"{base}es"
    if base.endswith("y") and base[-2] not in _VOWELS:
        return f"{base[:-1]}ies"
    return f"{base}s"


def regular_past(base: str) -> str:
    """Return the regular past form: needed, carried, dropped, used."""
    if base.endswith("e"):
        return f"{base}d"
    if base.endswith("y") and base[-2] not in _VOWELS:
        return f"{base[:-1]}ied"
    return f"{base}{base[-1]}ed" if base in _DOUBLING else f"{base}ed"


THIRD = {third_person(base): base for base in BASES}
PAST = {regular_past(base): base for base in _REGULAR} | _IRREGULAR_PAST


def is_self_contained(question: str) -> bool:
    """Tell whether a question can be understood without what stands before it."""
    words = question.split()
    is_fragment = words[0].lower() in ("and", "or", "but", "so") or len(words) < 4
    return not is_fragment and not POINTING.search(question)


def is_subject(text: str) -> bool:
    """Tell whether words can be the subject of a question that stands alone."""
    words = text.split()
    if text.lower() == "you":
        return True
    if text.lower() in _NO_HEAD:
        return False
    is_list = "," in text and not _LIST_OF_NAMES.fullmatch(text)
    if not words or len(words) > MAX_SUBJECT_WORDS or is_list or re.search("[:(—]", text):
        return False
    if _BAD_START.match(text) or POINTING.search(text) or words[-1] in _NO_HEAD:
        return False
    # "Use case", "Have targets": an order, or half of one.
    first = words[0].lower()
    is_order = first in _ORDERS or (first in BASES and len(words) <= 3 and first[-1] != "s")
    is_order = is_order or (len(words) == 1 and first.endswith(("ly", "ed")))
    is_order = is_order or (first in BASES and words[1:2] in (["the"], ["a"], ["an"], ["all"]))
    # The term of a glossary, and the sentence that explains it.
    is_entry = _ENTRY.search(text) or _AUXILIARY.search(text)
    is_entry = is_entry or _ENDED.search(text) or _ONLY_NUMBER.fullmatch(text)
    if is_order or is_entry:
        return False
    return not _is_vague(words) and len(text) > 2


def _is_vague(words: list[str]) -> bool:
    """Tell whether words are "the box" or "the red line": said before, which no question knows.

    A name, a number or what follows a preposition tells which one is meant.
    """
    if words[0].lower() != "the" or len(words) < 2:
        return False
    is_told = any(not word.islower() or word in _TELLING for word in words[1:])
    return not is_told and words[-1].removesuffix("s") not in _KNOWN_THINGS


def is_plural(subject: str) -> bool:
    """Tell whether a subject takes a plural verb, judged by its head noun."""
    head = re.split(r" (?:of|in|on|with|for|at|from|to|that|which|who|under|between) ", subject)[0]
    last = head.split()[-1]
    if last.isupper() and " and " not in head:  # CCS, VAT
        return False
    last = last.lower()
    if " and " in head:
        return True
    if head.split()[0].lower() in ("a", "an", "each", "every"):
        return False
    return last.endswith("s") and not last.endswith(("ss", "us", "is", "ics"))


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


def with_article(noun: str) -> str:
    """Return a noun with "a" or "an" before it, by its sound."""
    is_spelled = re.match(r"[AEFHILMNORSX](?:[A-Z]|\b)", noun)
    is_vowel = re.match(r"[aeio]|u(?!ni|se|til|k\b)|8|1[18]\b", noun) or noun.lower().startswith(
        "hour"
    )
    return f"{'an' if is_spelled or is_vowel else 'a'} {noun}"


_OUTSIDE = re.compile(
    r"\b(?:this|these|those|such(?! as)|another|the same(?! [\w-]+ (?:as|for))|the other|here|"
    r"above|below|the latter|the former|likewise|so(?! that))\b|^(?:its|their|it|they)\b",
    re.IGNORECASE,
)


def points_outside(text: str) -> bool:
    """Tell whether the words of an answer need what stands before them."""
    return bool(_OUTSIDE.search(text))
