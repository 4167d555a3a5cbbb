"""Find the finite verb of a clause: which word it is that says what the subject does."""

from evqa.qa.grammar import BASES, BE, MODALS, PAST, THIRD, is_plural

LOOK_AHEAD_WORDS = 9
_DETERMINERS_TEXT = """
a an the its their his her this these all some many several more most one two three four five six
no any each every about around only almost nearly up down at least over under between
"""
_DETERMINERS = frozenset(_DETERMINERS_TEXT.split())
_AFTER_PAST_TEXT = """
a an the its their his her this these all some many several more most one two three four five six
in at on by for to from with into over under between about around only almost nearly up down out
as that than off each every no any since until after before because when while
"""
_AFTER_PAST = frozenset(_AFTER_PAST_TEXT.split())
_PREPOSITIONS_TEXT = """
in at by for with from into under over through as on to
"""
_PREPOSITIONS = frozenset(_PREPOSITIONS_TEXT.split())
_INTRANSITIVE_TEXT = """
come go grow rise fall increase decrease decline drop begin start end lead result depend live
stand run apply arrive happen occur remain stay improve expand shrink
"""
_INTRANSITIVE = frozenset(_INTRANSITIVE_TEXT.split())
_SURELY_FINITE = frozenset([*BE, *MODALS, "has", "have", "had"])
_RELATIVE = frozenset({"that", "which", "who", "whose", "where", "when", "whatever"})
_NEVER_TEXT = (
    "a an the of to in on at for with by from and or as per than its their his her this be"
)
_NEVER_BEFORE_VERB = frozenset(_NEVER_TEXT.split())
_ALSO_NOUNS_TEXT = """
state share cost test charge lead use design demand change limit order range list rate name cover
power place plan map record feature sample schedule route host request query report result
benefit control increase decrease decline drop rise fall supply support transfer trip switch
update upgrade process focus finance grant guide aim advance offset reward list load lock measure
output overview outline matter balance account block bridge bill check claim display fit feed
function gain handle help mark present promise return run show signal stop store target term tie
total track travel trigger turn waste watch work
"""
ALSO_NOUNS = frozenset(_ALSO_NOUNS_TEXT.split())
_ADVERBS_TEXT = """
also only usually often always never now still already therefore typically normally thus
commonly generally rarely seldom simply hardly almost mostly then even not
"""
ADVERBS = frozenset(_ADVERBS_TEXT.split())


def verb_position(words: list[str]) -> int | None:
    """Return where the finite verb of the main clause stands."""
    in_relative = False
    participle = None
    for position, word in enumerate(words):
        if position == 0:
            continue
        plain = word.strip(",").lower()
        if plain in _RELATIVE:
            in_relative = True
            continue
        if in_relative and plain in ("does", "do", "did"):
            in_relative = False
            continue
        if in_relative and plain in BASES and words[position - 1].lower() in _RELATIVE:
            in_relative = False
            continue
        if not _is_finite(words, position):
            if participle is None and not in_relative and _is_past(words, position):
                participle = position
            continue
        if in_relative:
            in_relative = False
            continue
        if participle is not None and _ends_clause(words[participle:position]):
            return participle
        return _better_verb(words, position)
    return participle


def _better_verb(words: list[str], position: int) -> int:
    """Return the verb that a word which may be a noun hides: "changes to the plan *are* sent"."""
    if words[position].lower() in BE or words[position].lower() in MODALS:
        return position
    for later in range(position + 1, min(position + LOOK_AHEAD_WORDS, len(words))):
        word = words[later].lower()
        if word.strip(",") in _RELATIVE or word in ("and", "or", "if", "because", "as"):
            break
        if word in BE or word in MODALS:
            return later
        if word.endswith((",", ";")):
            break
    return position


def _is_past(words: list[str], position: int) -> bool:
    """Tell whether a word is a verb in the past and no participle before a noun."""
    if words[position].strip(",").lower() not in PAST or position + 1 >= len(words):
        return False
    following, previous = words[position + 1], words[position - 1]
    if previous.lower() in ("be", "been", "being", "to"):
        return False
    if following.lower() in _PREPOSITIONS:
        return PAST[words[position].strip(",").lower()] in _INTRANSITIVE
    if following[0].isdigit() or following.lower() in _AFTER_PAST or following[0] in "€$£":
        return True
    # "Carmakers announced targets": after a noun, and before one, it is no participle.
    is_noun = previous[0].isupper() or (previous.endswith("s") and len(previous) > 3)
    return is_noun and position < 5 and (following.endswith("s") or following[0].isupper())


def _ends_clause(words: list[str]) -> bool:
    return any(word.endswith((",", ";", ":")) or word in ("and", "because") for word in words)


def _is_finite(words: list[str], position: int) -> bool:
    """Tell whether a word is a form of be or have, a modal, or a verb that fits its noun."""
    plain = words[position].lower()
    if plain in _SURELY_FINITE:
        return True
    if words[position - 1].lower() in MODALS:  # "could request": the modal is the finite one
        return False
    # "10 A delivers": the unit is no article.
    previous = words[position - 1]
    before = previous if previous == "A" and position > 1 else previous.lower()
    after = words[position + 1].lower() if position + 1 < len(words) else ""
    if before in _NEVER_BEFORE_VERB or words[position].endswith((",", ";")):
        return False
    if before.endswith("ing") and plain in BASES:  # "sales taking place"
        return False
    if after in _SURELY_FINITE or words[position][0].isupper():  # "the United States"
        return False
    return _agrees(plain, before, after, is_plural(" ".join(words[:position])))


def _agrees(verb: str, before: str, after: str, is_many: bool) -> bool:
    """Tell whether a verb form goes with a noun that is one or many, and is no noun itself."""
    base = THIRD.get(verb, verb)
    if base in ALSO_NOUNS and not _begins_object(after) and (base, after) != ("account", "for"):
        return False
    if verb in THIRD:
        return not is_many or before in ADVERBS
    return verb in BASES and verb not in ADVERBS and is_many


def _begins_object(word: str) -> bool:
    return word in _DETERMINERS or word[:1].isdigit() or word[:1] in "€$£"
