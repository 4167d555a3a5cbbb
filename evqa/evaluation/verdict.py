"""SHIP, NO_SHIP or NOT_ENOUGH_DATA, by a rule that stands in the config.

SHIP: the whole interval of the deciding metric's difference lies above ``min_improvement``, no
protected group is worse (Holm-corrected), and nothing general was forgotten. NOT_ENOUGH_DATA: the
benchmark is too small, or no difference was found where one of ``largest_unseen`` could have been
missed. Everything else is NO_SHIP.
"""

from dataclasses import dataclass
from typing import Any

from evqa.config.evaluation import VerdictConfig
from evqa.evaluation.comparison import Comparison, Group, interval_json

SHIP = "SHIP"
NO_SHIP = "NO_SHIP"
NOT_ENOUGH_DATA = "NOT_ENOUGH_DATA"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A verdict with its grounds.

    Attributes:
        word: SHIP, NO_SHIP or NOT_ENOUGH_DATA.
        reasons: One sentence each, the main one first.
        detectable: The smallest true difference that this benchmark finds in four cases of five.
    """

    word: str
    reasons: list[str]
    detectable: float

    def to_json(self, comparison: Comparison) -> dict[str, Any]:
        """Return the form of ``results.json``."""
        main = comparison.main
        return {
            "verdict": self.word,
            "reasons": self.reasons,
            "deciding_metric": comparison.settings.verdict.metric,
            "difference": interval_json(main.interval),
            "p_value": main.p_value,
            "minimum_detectable_effect": self.detectable,
        }


def decide(comparison: Comparison, retention: Comparison | None = None) -> Verdict:
    """Return the verdict on the judged system.

    Args:
        comparison: On the domain's benchmark.
        retention: The same systems on general questions; null where they were not asked.
    """
    return _by_rule(comparison, retention, comparison.settings.verdict)


def _by_rule(comparison: Comparison, retention: Comparison | None, rule: VerdictConfig) -> Verdict:
    detectable = comparison.main.detectable
    if few := _too_few(comparison, rule):
        return Verdict(NOT_ENOUGH_DATA, [few], detectable)
    main = comparison.main.interval
    told = _told(comparison)
    vetoes = [*_worse_groups(comparison, rule), *_forgotten(retention, rule)]
    if main.low > rule.min_improvement:
        return Verdict(NO_SHIP if vetoes else SHIP, [told, *vetoes], detectable)
    if not main.excludes_zero and detectable > rule.largest_unseen and not vetoes:
        blind = (
            f"no difference was found, but one of {100 * detectable:.1f} points could have been "
            f"missed (largest_unseen: {100 * rule.largest_unseen:.1f}); ask more questions"
        )
        return Verdict(NOT_ENOUGH_DATA, [told, blind], detectable)
    return Verdict(NO_SHIP, [told, *vetoes], detectable)


def _told(comparison: Comparison) -> str:
    main, level = comparison.main.interval, comparison.settings.confidence
    low, high = 100 * main.low, 100 * main.high
    return (
        f"{comparison.settings.verdict.metric}: {comparison.judged} - {comparison.baseline} = "
        f"{100 * main.value:+.1f} points ({100 * level:g} % interval {low:+.1f} to {high:+.1f})"
    )


def _too_few(comparison: Comparison, rule: VerdictConfig) -> str | None:
    questions = len({question.id for question in comparison.questions})
    if questions < rule.min_questions:
        return f"{questions} questions; a verdict needs {rule.min_questions} or more"
    documents = comparison.main.num_clusters
    if documents < rule.min_documents:
        return f"questions about {documents} documents; a verdict needs {rule.min_documents}"
    return None


def worse_groups(comparison: Comparison) -> list[tuple[str, Group]]:
    """Return the groups of any breakdown where the judged system is worse beyond doubt."""
    level = comparison.settings.confidence
    return [
        (kind, group)
        for kind, groups in comparison.breakdowns.items()
        for group in groups
        if group.worse(level)
    ]


def _worse_groups(comparison: Comparison, rule: VerdictConfig) -> list[str]:
    return [
        f"{kind} {group.name} got worse: {100 * group.result.interval.value:+.1f} points "
        f"(Holm-corrected p = {group.p_holm:.2g})"
        for kind, group in worse_groups(comparison)
        if kind in rule.protect
    ]


def _forgotten(retention: Comparison | None, rule: VerdictConfig) -> list[str]:
    if retention is None or not rule.protect_retention or retention.main.interval.high >= 0:
        return []
    lost = retention.main.interval
    return [
        f"general questions got worse: {100 * lost.value:+.1f} points "
        f"(interval {100 * lost.low:+.1f} to {100 * lost.high:+.1f})"
    ]
