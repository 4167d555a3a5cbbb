"""What a comparison looks like in a terminal."""

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from evqa.evaluation.comparison import Comparison, improved
from evqa.evaluation.metrics import METRICS

MAIN_METRICS = ("rouge_l", "token_f1", "chrf", "key_fact_recall")
PERCENT = frozenset(METRICS) - {"bleu", "chrf", "chrf_pp", "ter"}


def shown(name: str, value: float) -> float:
    """Return a score on the scale of 0 to 100 that all are printed in."""
    return 100 * value if name in PERCENT else value


def print_comparison(comparison: Comparison, samples: list[dict[str, str]]) -> None:
    """Print the table and the sample answers on stdout."""
    console = Console(soft_wrap=False)
    console.print(comparison_table(comparison))
    width = max(map(len, ("reference", *comparison.systems)))
    for sample in samples:
        console.print(f"\n[bold]{_on_one_line(sample['question'])}[/bold]")
        for name in ("reference", *comparison.systems):
            answer = _on_one_line(sample[name]) or "(nothing)"
            console.print(f"  [cyan]{escape(name):<{width}}[/cyan] {answer}")


def _on_one_line(text: str) -> str:
    """Return a text as one line that rich prints as it stands."""
    return escape(" ".join(text.split()))


def comparison_table(comparison: Comparison) -> Table:
    """Return every system's scores and the judged one's difference, one row a metric."""
    count = len({question.id for question in comparison.questions})
    title = f"{comparison.judged} against {comparison.baseline}, {count} questions (0-100)"
    table = Table(title=title, box=box.SIMPLE)
    table.add_column("metric")
    level = f"{100 * comparison.settings.confidence:g} % interval"
    for name in (*comparison.systems, "difference", level):
        table.add_column(name, justify="right")
    for row in comparison_rows(comparison, MAIN_METRICS):
        table.add_row(*row)
    return table


def comparison_rows(comparison: Comparison, names: tuple[str, ...]) -> list[list[str]]:
    """Return the cells of a comparison: metric, each system, difference, interval."""
    rows = []
    for name in names:
        values = [
            shown(name, comparison.scores[system].corpus[name]) for system in comparison.systems
        ]
        interval = comparison.differences[comparison.judged][name]
        low, high = shown(name, interval.low), shown(name, interval.high)
        mark = " *" if improved(name, interval) else ""
        difference = f"{values[1] - values[0]:+.1f}"
        scores = [f"{value:.1f}" for value in values]
        rows.append([name, *scores, difference, f"{low:+.1f} to {high:+.1f}{mark}"])
    return rows
