"""The report of an evaluation: one self-contained HTML page, and the same in Markdown."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from evqa.evaluation import charts
from evqa.evaluation.comparison import Comparison, sample, samples, spread
from evqa.evaluation.metrics import METRICS
from evqa.evaluation.table import comparison_rows, shown
from evqa.evaluation.verdict import Verdict

NUM_SAMPLES = 20
NUM_EXTREMES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """All that a report tells.

    Attributes:
        performance: By system, as in ``performance_metrics.json``; empty when not measured.
        judgement: What the judge preferred; null without one.
        steps: The trained run's ``steps.jsonl``; empty where no run is among the systems.
        provenance: What is needed to make it again, in the order shown.
    """

    comparison: Comparison
    retention: Comparison | None
    verdict: Verdict
    performance: dict[str, dict[str, Any]]
    judgement: dict[str, Any] | None = None
    steps: Sequence[Mapping[str, Any]] = ()
    provenance: dict[str, str] = field(default_factory=dict)


def drawn(evaluation: Evaluation) -> list[charts.Chart]:
    """Draw the report's pictures; those that have nothing to show are left out."""
    comparison = evaluation.comparison
    made = [
        charts.group_bars(comparison, "category"),
        charts.difficulty_map(comparison),
        charts.group_bars(comparison, "split"),
        charts.token_times(_samples_ms(evaluation.performance)),
        charts.training_curves(evaluation.steps),
    ]
    return [chart for chart in made if chart is not None]


def _samples_ms(performance: dict[str, dict[str, Any]]) -> dict[str, list[float]]:
    return {system: list(seen["per_token_samples_ms"]) for system, seen in performance.items()}


def html(evaluation: Evaluation, pictures: Sequence[charts.Chart]) -> str:
    """Return ``report.html``: no script, nothing loaded from elsewhere."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    comparison = evaluation.comparison
    best, worst = extremes(comparison)
    return environment.get_template("report.html.j2").render(
        evaluation=evaluation,
        comparison=comparison,
        verdict=evaluation.verdict,
        pictures=[(chart.title, Markup(chart.svg)) for chart in pictures],  # noqa: S704  # nosec B704
        rows=comparison_rows(comparison, METRICS),
        retention_rows=_retention_rows(evaluation),
        answers=[_marked(comparison, row) for row in _sample_rows(comparison)],
        improved=[_marked(comparison, row) for row in best],
        worsened=[_marked(comparison, row) for row in worst],
        lowest=[_marked(comparison, row) for row in lowest(comparison)],
        additional=_additional_rows(comparison),
        performance_head=PERFORMANCE_HEAD,
        performance_rows=performance_rows(evaluation.performance),
        level=f"{100 * comparison.settings.confidence:g} %",
        points=lambda value: f"{100 * value:+.1f}",
    )


def _sample_rows(comparison: Comparison) -> list[int]:
    return spread(len(comparison.questions), NUM_SAMPLES)


def extremes(comparison: Comparison) -> tuple[list[int], list[int]]:
    """Return where the judged system gained most, and where it lost most, each first."""
    order = sorted(range(len(comparison.gains)), key=lambda row: comparison.gains[row])
    worst = [row for row in order[:NUM_EXTREMES] if comparison.gains[row] < 0]
    best = [row for row in reversed(order[-NUM_EXTREMES:]) if comparison.gains[row] > 0]
    return best, worst


def lowest(comparison: Comparison) -> list[int]:
    """Return the judged system's worst questions, by the deciding metric, then by token F1."""
    found = comparison.scores[comparison.judged].per_question
    metric = comparison.settings.verdict.metric
    rows = range(len(comparison.questions))
    return sorted(rows, key=lambda row: (found[metric][row], found["token_f1"][row]))[
        :NUM_EXTREMES
    ]


def _marked(comparison: Comparison, row: int) -> dict[str, Any]:
    """Return a question with every system's answer, words that the reference lacks marked."""
    told = sample(comparison, row)
    question = comparison.questions[row]
    return {
        "id": question.id,
        "question": question.question,
        "reference": question.answer,
        "facts": question.key_facts,
        "answers": [
            (name, mark_differences(told[name], question.answer)) for name in comparison.systems
        ],
    }


def mark_differences(answer: str, reference: str) -> Markup:
    """Return an answer as HTML with the words marked that do not stand in the reference."""
    ours, theirs = answer.split(), reference.split()
    matcher = difflib.SequenceMatcher(None, _folded(ours), _folded(theirs), autojunk=False)
    parts = []
    for kind, start, end, _, _ in matcher.get_opcodes():
        words = escape(" ".join(ours[start:end]))
        if words:
            parts.append(words if kind == "equal" else Markup("<mark>{}</mark>").format(words))
    return Markup(" ").join(parts)


def _folded(words: Sequence[str]) -> list[str]:
    return [word.casefold().strip(".,;:") for word in words]


def _additional_rows(comparison: Comparison) -> list[list[str]]:
    names = dict.fromkeys(name for found in comparison.additional.values() for name in found)
    return [
        [name, *(_figure(comparison.additional[s].get(name)) for s in comparison.systems)]
        for name in names
    ]


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _retention_rows(evaluation: Evaluation) -> list[list[str]]:
    if evaluation.retention is None:
        return []
    return comparison_rows(evaluation.retention, ("key_fact_recall", "token_f1", "rouge_l"))


def markdown(evaluation: Evaluation) -> str:
    """Return ``report.md``."""
    comparison = evaluation.comparison
    head = ["metric", *comparison.systems, "difference", "interval"]
    main = evaluation.comparison.main
    lines = [
        f"# {evaluation.verdict.word}",
        "",
        *(f"- {reason}" for reason in evaluation.verdict.reasons),
        f"- smallest difference found in four cases of five: {100 * main.detectable:.1f} points",
        "",
        f"{comparison.judged} against {comparison.baseline}, "
        f"{len({q.id for q in comparison.questions})} questions about {main.num_clusters} "
        "documents; scores from 0 to 100; * better beyond the interval.",
        "",
        *_table(head, comparison_rows(comparison, METRICS)),
    ]
    if comparison.additional:
        lines += _table(["figure", *comparison.systems], _additional_rows(comparison))
    for kind in comparison.breakdowns:
        lines += _breakdown(comparison, kind)
    if evaluation.retention is not None:
        lines += ["## General questions", "", *_table(head, _retention_rows(evaluation))]
    if evaluation.performance:
        lines += ["## Performance", "", *_performance(evaluation.performance)]
    lines += ["## Answers", ""]
    for told in samples(comparison, NUM_SAMPLES):
        lines += [f"**{told['question']}**", ""]
        lines += [f"- {n}: {told[n]}" for n in ("reference", *comparison.systems)] + [""]
    lines += ["## Provenance", "", *_table(["what", "value"], _provenance(evaluation))]
    return "\n".join(lines)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    aligned = ["---", *["---:"] * (len(head) - 1)]
    return ["| " + " | ".join(row) + " |" for row in (head, aligned, *rows)] + [""]


def _provenance(evaluation: Evaluation) -> list[list[str]]:
    return [[name, f"`{value}`"] for name, value in evaluation.provenance.items()]


def _breakdown(comparison: Comparison, kind: str) -> list[str]:
    metric = comparison.settings.verdict.metric
    head = [kind, "questions", *comparison.systems, "difference", "p (Holm)"]
    rows = [
        [
            group.name,
            str(len(group.rows)),
            *(f"{shown(metric, group.means[s][metric]):.1f}" for s in comparison.systems),
            f"{100 * group.result.interval.value:+.1f}",
            f"{group.p_holm:.2g}",
        ]
        for group in comparison.breakdowns[kind]
    ]
    return _table(head, rows)


def _performance(performance: dict[str, dict[str, Any]]) -> list[str]:
    return _table(PERFORMANCE_HEAD, performance_rows(performance))


PERFORMANCE_HEAD = [
    "system", "first token ms p50", "p99", "token ms p50", "p95", "p99", "tokens/s",
    "RAM GiB", "GPU GiB", "load s",
]  # fmt: skip


def performance_rows(performance: dict[str, dict[str, Any]]) -> list[list[str]]:
    """Return the cells of the performance table, one row a system."""
    rows = []
    for name, seen in performance.items():
        rates = seen["throughput_tokens_per_s"].items()
        rows.append(
            [
                name,
                f"{seen['ttft_ms']['p50']:.1f}",
                f"{seen['ttft_ms']['p99']:.1f}",
                *(f"{seen['per_token_ms'][p]:.2f}" for p in ("p50", "p95", "p99")),
                ", ".join(f"{rate:.0f} at {concurrency}" for concurrency, rate in rates),
                *(_figure(seen[key]) for key in ("peak_rss_gib", "peak_gpu_gib", "load_s")),
            ]
        )
    return rows
