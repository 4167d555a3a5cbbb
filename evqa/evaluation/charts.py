"""The report's pictures, drawn by matplotlib: SVG for the page, PNG for the tracker.

Small figures, so that their text is readable at the width of a phone; beside each other on a wide
screen.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from evqa.evaluation.comparison import Comparison

SIZE_INCHES = (4.3, 3.0)
COLOURS = ("#8a94a6", "#0f766e", "#b45309", "#6d28d9", "#be123c", "#1d4ed8")


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawn figure.

    Attributes:
        name: For files and trackers.
        title: What it shows, in words; also its text for those who cannot see it.
    """

    name: str
    title: str
    svg: str
    png: bytes


@contextmanager
def _figure(**settings: Any) -> Iterator[tuple[Any, Any]]:
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    style: Any = {
        "svg.fonttype": "none",  # text stays text: small, sharp, searchable
        "svg.hashsalt": "evqa",  # the same ids every time
        "font.family": "sans-serif",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with mpl.rc_context(style):
        figure = Figure(figsize=settings.get("size", SIZE_INCHES), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure, figure.subplots()


def _chart(name: str, title: str, figure: Any) -> Chart:
    svg, png = io.StringIO(), io.BytesIO()
    figure.savefig(svg, format="svg", transparent=True, metadata={"Date": None})
    figure.savefig(png, format="png", dpi=120, facecolor="white")
    markup = svg.getvalue()
    start = markup.index("<svg")
    opening = markup[start:].replace("<svg ", f'<svg role="img" aria-label="{title}" ', 1)
    return Chart(name, title, opening, png.getvalue())


def group_bars(comparison: Comparison, kind: str) -> Chart:
    """Draw each system's deciding metric by group, and the gain's interval over the bars."""
    metric = comparison.settings.verdict.metric
    groups = comparison.breakdowns[kind]
    height = 0.8 / len(comparison.systems)
    size = (SIZE_INCHES[0], max(SIZE_INCHES[1], 0.35 + 0.24 * len(groups) / height))
    with _figure(size=size) as (figure, axes):
        for place, system in enumerate(comparison.systems):
            values = [100 * group.means[system][metric] for group in groups]
            at = [row + (place + 0.5) * height - 0.4 for row in range(len(groups))]
            axes.barh(at, values, height, label=system, color=COLOURS[place % len(COLOURS)])
        _gain_intervals(axes, comparison, groups, metric, height)
        labels = [f"{group.name.replace('_', ' ')} ({len(group.rows)})" for group in groups]
        axes.set_yticks(range(len(groups)), labels)
        axes.invert_yaxis()
        axes.set_xlabel(f"{metric}, 0 to 100")
        figure.legend(loc="outside upper center", ncols=3, frameon=False)
        return _chart(f"by_{kind}", f"{metric} by {kind}, with the gain's interval", figure)


def _gain_intervals(
    axes: Any, comparison: Comparison, groups: Sequence[Any], metric: str, height: float
) -> None:
    """Mark baseline + gain's interval at the judged system's bar."""
    for row, group in enumerate(groups):
        base = group.means[comparison.baseline][metric]
        found = group.result.interval
        ends = [100 * min(1, max(0, base + end)) for end in (found.low, found.high)]
        at = row + 1.5 * height - 0.4
        axes.plot(ends, [at, at], color="black", linewidth=1.2, marker="|", markersize=5)


def difficulty_map(comparison: Comparison) -> Chart:
    """Draw the judged system's deciding metric by category and difficulty."""
    metric = comparison.settings.verdict.metric
    values = comparison.scores[comparison.judged].per_question[metric]
    cells: dict[tuple[str, str], list[float]] = {}
    for question, value in zip(comparison.questions, values, strict=True):
        cells.setdefault((question.category, question.difficulty), []).append(100 * value)
    rows = sorted({row for row, _ in cells})
    columns = sorted({column for _, column in cells}, key=_by_difficulty)
    with _figure() as (figure, axes):
        means = [[_mean(cells.get((row, column))) for column in columns] for row in rows]
        axes.imshow(means, vmin=0, vmax=100, cmap="YlGn", aspect="auto")
        for y, line in enumerate(means):
            for x, mean in enumerate(line):
                if mean == mean:  # not the nan of an empty cell
                    colour = "white" if mean > 60 else "black"
                    axes.text(x, y, f"{mean:.0f}", ha="center", va="center", color=colour)
        axes.set_xticks(range(len(columns)), columns)
        axes.set_yticks(range(len(rows)), [row.replace("_", " ") for row in rows])
        axes.spines[:].set_visible(False)
        title = f"{metric} of {comparison.judged} by category and difficulty"
        return _chart("difficulty_map", title, figure)


def _by_difficulty(name: str) -> tuple[int, str]:
    order = ["easy", "medium", "hard"]
    return (order.index(name) if name in order else len(order), name)


def _mean(values: Sequence[float] | None) -> float:
    return sum(values) / len(values) if values else float("nan")


def token_times(samples_ms: Mapping[str, Sequence[float]]) -> Chart | None:
    """Draw how long tokens took, one line a system; null when nothing was measured."""
    if not samples_ms:
        return None
    with _figure() as (figure, axes):
        for place, (system, taken) in enumerate(samples_ms.items()):
            shares = [100 * (n + 1) / len(taken) for n in range(len(taken))]
            colour = COLOURS[place % len(COLOURS)]
            axes.step(sorted(taken), shares, where="post", label=system, color=colour)
        axes.set_xlabel("ms a token")
        axes.set_ylabel("% of tokens within")
        axes.set_xlim(left=0)
        figure.legend(loc="outside upper center", ncols=3, frameon=False)
        return _chart("token_times", "Distribution of the time a token takes", figure)


def training_curves(steps: Sequence[Mapping[str, Any]]) -> Chart | None:
    """Draw a run's training and validation loss over its steps; null without any."""
    curves = {
        "training loss": [(s["step"], s["loss"]) for s in steps if s.get("loss") is not None],
        "validation loss": [
            (s["step"], s["validation_loss"])
            for s in steps
            if s.get("validation_loss") is not None
        ],
    }
    if not curves["training loss"]:
        return None
    with _figure() as (figure, axes):
        for (name, points), colour in zip(curves.items(), COLOURS, strict=False):
            if points:
                x, y = zip(*points, strict=True)
                axes.plot(x, y, label=name, color=colour, linewidth=1.2)
        axes.set_xlabel("step")
        axes.set_ylabel("loss, nats a token")
        figure.legend(loc="outside upper center", ncols=2, frameon=False)
        return _chart("training_curves", "Loss over the training", figure)
