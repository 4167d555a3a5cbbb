"""What a comparison looks like in a terminal and in Markdown."""

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from evqa.evaluation.metrics import METRICS
from evqa.evaluation.quick import BASE, TUNED, Comparison, improved

MAIN_METRICS = ("rouge_l", "token_f1", "chrf", "key_fact_recall")
PERCENT = frozenset(METRICS) - {"bleu", "chrf", "chrf_pp", "ter"}


def shown(name: str, value: float) -> float:
    """Return a score on the scale of 0 to 100 that all are printed in."""
    return 100 * value if name in PERCENT else value


def print_comparison(comparison: Comparison, samples: list[dict[str, str]]) -> None:
    """Print the table and the sample answers on stdout."""
    console = Console(soft_wrap=False)
    console.print(comparison_table(comparison))
    for sample in samples:
        console.print(f"\n[bold]{_escape(sample['question'])}[/bold]")
        for name in ("reference", BASE, TUNED):
            console.print(f"  [cyan]{name:<9}[/cyan] {_escape(sample[name]) or '(nothing)'}")


def _escape(text: str) -> str:
    """Return a text as one line that rich prints as it stands."""
    return " ".join(text.split()).replace("[", r"\[")


def comparison_table(comparison: Comparison) -> Table:
    """Return base, tuned and their difference with its interval, one row a metric."""
    count = len(comparison.questions)
    table = Table(title=f"base vs fine-tuned, {count} questions (0-100)", box=box.SIMPLE)
    table.add_column("metric")
    for name in (BASE, TUNED, "difference", "95 % interval"):
        table.add_column(name, justify="right")
    for row in comparison_rows(comparison, MAIN_METRICS):
        table.add_row(*row)
    return table


def comparison_rows(comparison: Comparison, names: tuple[str, ...]) -> list[list[str]]:
    """Return the cells of a comparison: metric, base, tuned, difference, interval."""
    rows = []
    for name in names:
        base, tuned = (
            shown(name, comparison.scores[system].corpus[name]) for system in (BASE, TUNED)
        )
        interval = comparison.differences[name]
        low, high = shown(name, interval.low), shown(name, interval.high)
        mark = " *" if improved(name, interval) else ""
        rows.append(
            [
                name,
                f"{base:.1f}",
                f"{tuned:.1f}",
                f"{tuned - base:+.1f}",
                f"{low:+.1f} to {high:+.1f}{mark}",
            ]
        )
    return rows


def markdown(comparison: Comparison, samples: list[dict[str, str]]) -> str:
    """Return ``report.md``."""
    lines = [
        f"# {comparison.verdict}",
        "",
        f"{len(comparison.questions)} questions; scores from 0 to 100; * outside the interval.",
        "",
        "| metric | base | tuned | difference | interval |",
        "|---|---:|---:|---:|---:|",
        *("| " + " | ".join(row) + " |" for row in comparison_rows(comparison, METRICS)),
        "",
    ]
    results = comparison.to_json()
    for field in ("by_split", "by_category", "by_difficulty"):
        lines += _breakdown(field.removeprefix("by_"), results[field])
    for sample in samples:
        lines += [f"**{sample['question']}**", ""]
        lines += [f"- {name}: {sample[name]}" for name in ("reference", BASE, TUNED)] + [""]
    return "\n".join(lines)


def _breakdown(title: str, groups: dict[str, Any]) -> list[str]:
    rows = [
        f"| {group} | {values['num_questions']} | "
        + " | ".join(f"{100 * values[s]['key_fact_recall']:.1f}" for s in (BASE, TUNED))
        + " |"
        for group, values in groups.items()
    ]
    head = f"| {title} | questions | key facts, base | key facts, tuned |"
    return [head, "|---|---:|---:|---:|", *rows, ""]
