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
    r"the other|both|either|neither|thus|hence|so far|likewise|then|too|also|instead|otherwise|"
    r"however|"
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
_DETERMINERS_TEXT = """
a an the each every most all any no some many few several older newer modern public private
typical ordinary
"""
DETERMINERS = frozenset(_DETERMINERS_TEXT.split())
HEDGES = frozenset({"around", "about", "nearly", "almost", "over", "roughly", "approximately"})


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
