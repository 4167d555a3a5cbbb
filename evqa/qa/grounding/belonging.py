"""Does what an answer names stand in the statement that the question is about?

A quote often says several things of one kind: members pay $0.36, guests $0.48. An answer is
refused when its amount (or its subject) stands only in statements that match question and answer
worse than another one which offers a different amount of the same kind (or subject).

Names, amounts and opposites that one statement has and another lacks decide first; then the other
words, each weighing the more the fewer statements have it.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from evqa.qa.grammar import BE
from evqa.qa.grounding.meaning import FUNCTION_WORDS, opposites
from evqa.qa.grounding.reading import Reading
from evqa.qa.grounding.statements import Statement
from evqa.qa.grounding.tokens import Token, is_any_verb, is_auxiliary, is_finite, kind_of

NAME_WEIGHT = 1.5
MIN_LEAD = 0.3
MIN_SUBJECT_LEAD = 0.9
MIN_FRAGMENT_LEAD = 1.2
_DETERMINERS = frozenset({"the", "a", "an", "its", "their", "each", "every", "this", "these"})
_ORDERING = frozenset({"former", "latter"})
_IT = frozenset({"it", "they", "this", "that", "these"})
_ASKING = frozenset(["how", "where", "when", "which", "who", "whom", "what"])
MIN_COVERED = 0.55
MAX_SUBJECT_WORDS = 3
MAX_WORDS = 5
MIN_ELSEWHERE = 0.6
SHARED_ONLY = 0.5


@dataclass(frozen=True, slots=True)
class Match:
    """How well a statement matches what is asked: by names and amounts, and by other words."""

    strong: float
    words: float

    def is_better(self, other: "Match", lead: float) -> bool:
        """Tell whether it matches better than another statement, by a lead."""
        if self.strong != other.strong:
            return self.strong > other.strong and self.words > other.words - 1.5
        return self.words >= other.words + lead


class Statements:
    """The statements of a source, and what tells them apart.

    Args:
        source: The quote, read.
    """

    def __init__(self, source: Reading) -> None:
        self.all = source.statements
        self._plains = source.plains
        self._said = {id(s): s.roots | s.shared_roots for s in self.all}
        self._num_with = Counter(root for said in self._said.values() for root in said)
        self._strong = {t.root: 1.0 for t in source.tokens if t.amount}
        self._strong |= {t.root: NAME_WEIGHT for t in source.tokens if t.is_name}

    def weight(self, root: str) -> float:
        """Return how much a word tells the statements apart."""
        return 1.0 / max(self._num_with[root], 1)

    def contrasts(self, *texts: Reading) -> frozenset[str]:
        """Return the words of texts whose opposites the source says: older, beside new."""
        said = frozenset[str]().union(*(text.plains for text in texts))
        return frozenset(
            word
            for word in said
            if opposites(word) & self._plains - said
            and (word not in FUNCTION_WORDS or word in self._plains)
        )

    def has(self, root: str) -> bool:
        """Tell whether any statement says it."""
        return root in self._num_with

    def said(self, statement: Statement) -> frozenset[str]:
        """Return what a statement says, with what it shares."""
        return self._said[id(statement)]

    def match(
        self, statement: Statement, wanted: Collection[str], contrasts: Iterable[str] = ()
    ) -> Match:
        """Return how well a statement matches words, and on which side of contrasts it is."""
        said = self._said[id(statement)]
        own = statement.plains
        strong = words = 0.0
        for word in contrasts:
            strong += word in own or -bool(opposites(word) & own)
        for root in wanted:
            if root in said:
                words += self.weight(root)
                strong += self._strong.get(root, 0.0)
        if statement.shared and not self._is_asked(statement, wanted):
            words -= SHARED_ONLY
        return Match(strong, words)

    @staticmethod
    def _is_asked(statement: Statement, wanted: Collection[str]) -> bool:
        """Tell whether something of its own is asked for, beside what it shares: "420 of them"."""
        own = {t.root for t in statement.tokens if t.is_content} - statement.shared_roots
        kinds = {kind_of(t) for t in statement.shared if t.amount}
        own -= {t.root for t in statement.tokens if t.amount and kind_of(t) in kinds}
        return not own or any(root in own for root in wanted)


def misplaced(answer: Reading, source: Reading, asked: Reading) -> str | None:
    """Return what of an answer belongs to another statement of its source, null for nothing."""
    # "39p and 52p respectively": what belongs together is ordered in a way of its own.
    is_ordered = any(token.text == "respectively" for token in source.tokens)
    if len(source.statements) < 2 or is_ordered:
        return None
    statements = Statements(source)
    return _other_amount(answer, statements, asked) or _other_subject(answer, statements, asked)


def _other_amount(answer: Reading, statements: Statements, asked: Reading) -> str | None:
    given = {token.root for token in asked.tokens if token.amount}
    contrasts = statements.contrasts(asked, answer)
    for part in answer.statements:
        for token in part.tokens:
            if not token.amount or token.root in given:
                continue
            words = _context(token, part, answer, asked, statements)
            excused = answer.roots | given
            found = _better(token, words, statements, excused, contrasts)
            if found:
                return f"{token.text!r} is said of something else, here it is {found!r}"
    return None


def _context(
    token: Token, part: Statement, answer: Reading, asked: Reading, statements: Statements
) -> frozenset[str]:
    """Return the words that tell what an amount of an answer is said of."""
    if not any(map(is_finite, answer.tokens)):  # "3 March" is no reason to think of March
        own = frozenset[str]()
    else:
        own = part.roots | part.shared_roots
    kind = kind_of(token)
    alike = {t.root for t in answer.tokens if t.amount and kind_of(t) == kind} - asked.roots
    is_together = any(alike <= s.roots for s in statements.all)
    return own | asked.roots if len(alike) == 1 or is_together else own


def _better(
    token: Token,
    words: frozenset[str],
    statements: Statements,
    excused: frozenset[str],
    contrasts: frozenset[str],
) -> str | None:
    """Return the amount that a better statement offers instead, null when there is none."""
    wanted = words - {token.root}
    kind = kind_of(token)
    own: list[Match] = []
    others: list[tuple[Match, str]] = []
    for statement in statements.all:
        if _ORDERING & statement.plains:
            continue
        amounts = {t.root: t for t in statement.tokens if t.amount and kind_of(t) == kind}
        if token.root in amounts:
            own.append(statements.match(statement, wanted, contrasts))
            continue
        offered = [t.text for root, t in amounts.items() if root not in excused]
        if offered:
            others.append((statements.match(statement, wanted, contrasts), offered[0]))
    for match, offered_text in others:
        if own and all(match.is_better(mine, MIN_LEAD) for mine in own):
            return offered_text
    return None


def _other_subject(answer: Reading, statements: Statements, asked: Reading) -> str | None:
    """Return what an answer names that stands in another statement, null for nothing."""
    verb = _verb_after_subject(asked.tokens)
    named = _named(answer, asked, is_subject=verb > 0)
    wanted = frozenset(t.root for t in asked.tokens[verb:] if t.is_content) - named
    if not named or not wanted:
        return None
    contrasts = statements.contrasts(asked)
    matches = [(statements.match(s, wanted, contrasts), s) for s in statements.all]
    best, statement = max(matches, key=lambda pair: (pair[0].strong, pair[0].words))
    has_own = verb > 0 and _has_own_subject(statement, wanted)
    elsewhere = named - (statement.roots if has_own else statements.said(statement))
    holding = [(match, s) for match, s in matches if elsewhere & s.roots]
    total = sum(statements.weight(root) for root in wanted if statements.has(root))
    is_found = best.words >= MIN_COVERED * total and bool(holding)
    is_elsewhere = is_found and len(elsewhere) >= MIN_ELSEWHERE * len(named)
    if not is_elsewhere or _is_loose(statement, wanted, [s for _, s in holding]):
        return None
    lead = MIN_SUBJECT_LEAD if verb else MIN_FRAGMENT_LEAD
    if not all(best.is_better(match, lead) for match, _ in holding):
        return None
    return f"{' '.join(sorted(named))!r} is said of something else"


def _is_loose(statement: Statement, wanted: frozenset[str], holding: list[Statement]) -> bool:
    """Tell whether statements may be of one thing: one orders, points back, or names no other."""
    if _ORDERING & statement.plains or any(other.points_back for other in holding):
        return True
    return not _names_other(statement, wanted)


def _named(answer: Reading, asked: Reading, *, is_subject: bool) -> frozenset[str]:
    """Return what an answer names beside what was asked; nothing when it tells more than that."""
    new = [t for t in answer.tokens if t.is_content and t.root not in asked.roots]
    starts = [token.text for token in answer.tokens[:2]]
    is_said_of_it = len(starts) > 1 and starts[0] in _IT and starts[1] in BE
    is_fragment = not any(map(is_finite, answer.tokens[2 * is_said_of_it :]))
    is_asking = asked.tokens and asked.tokens[0].text in _ASKING and "happen" not in asked.roots
    if any(token.amount for token in new) or not is_asking or not (is_fragment or is_subject):
        return frozenset()
    if not is_fragment and any(map(is_any_verb, new)):
        return frozenset()
    named = frozenset(token.root for token in new)
    return (
        named if len(named) <= (MAX_WORDS if is_fragment else MAX_SUBJECT_WORDS) else frozenset()
    )


def _is_inverted(token: Token) -> bool:
    """Tell whether a verb may stand before its subject: "Which cars can the post serve?"."""
    return is_auxiliary(token) and token.text not in ("has", "have", "had")


def _has_own_subject(statement: Statement, wanted: frozenset[str]) -> bool:
    """Tell whether a statement begins with a subject that was not asked for."""
    for token in statement.tokens:
        if is_finite(token):
            return False
        if token.is_content and token.root not in wanted:
            return True
    return False


def _verb_after_subject(question: tuple[Token, ...]) -> int:
    """Return where the verb of a question for its subject stands, 0 when it asks otherwise."""
    if not question or question[0].text not in ("which", "what", "who"):
        return 0
    for number, token in enumerate(question[1:6], start=1):
        if token.text in ("do", "does", "did", "of", "happens", "happened"):
            return 0
        if is_any_verb(token):
            after = question[number + 1].text if number + 1 < len(question) else ""
            return 0 if _is_inverted(token) and after in _DETERMINERS else number
    return 0


def _names_other(statement: Statement, wanted: frozenset[str]) -> bool:
    """Tell whether a statement names something that was not asked for."""
    tokens = (*statement.tokens, *statement.shared)
    return any(token.is_content and token.root not in wanted for token in tokens)
