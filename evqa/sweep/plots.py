"""Pictures of a sweep: history, importance, slices, the Pareto front; PNG, and one HTML page."""

import base64
import html
import io
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from evqa.files import atomic_folder, write_text
from evqa.sweep.space import Space
from evqa.sweep.study import SweepStudy

MIN_TRIALS = 2
DPI = 110
FOLDER = "plots"
STYLE = "body{font-family:sans-serif;max-width:60rem;margin:2rem auto}img{max-width:100%}"


def write_plots(study: SweepStudy, space: Space, objectives: Sequence[str]) -> None:
    """Write ``plots/*.png`` and ``plots.html``, once two trials have a value."""
    if len(study.completed()) < MIN_TRIALS:
        return
    pictures = {name: draw() for name, draw in _drawings(study, space, objectives).items()}
    with atomic_folder(study.folder / FOLDER) as folder:
        for name, data in pictures.items():
            (folder / f"{name}.png").write_bytes(data)
    write_text(study.folder / "plots.html", page(study.folder.name, pictures))


def _drawings(
    study: SweepStudy, space: Space, objectives: Sequence[str]
) -> dict[str, Callable[[], bytes]]:
    drawings: dict[str, Callable[[], bytes]] = {}
    for place, name in enumerate(objectives):
        suffix = f"_{name}" if len(objectives) > 1 else ""
        drawings[f"history{suffix}"] = lambda p=place, n=name: history(study, p, n)  # type: ignore[misc]
        drawings[f"importance{suffix}"] = lambda p=place, n=name: importance(study, p, n)  # type: ignore[misc]
        drawings[f"slice{suffix}"] = lambda p=place, n=name: slices(study, space, p, n)  # type: ignore[misc]
    if len(objectives) > 1:
        drawings["pareto"] = lambda: pareto(study, objectives)
    return drawings


def _figure(columns: int = 1) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(6.0, 3.2 * columns), 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(1, columns, squeeze=False)[0]


def _png(figure: Any) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, dpi=DPI, metadata={"Software": None})
    return stream.getvalue()


def history(study: SweepStudy, place: int, name: str) -> bytes:
    """Draw every value by trial number, and the best so far."""
    done = sorted(study.completed(), key=lambda trial: trial.number)
    numbers = [trial.number for trial in done]
    values = [trial.values[place] for trial in done]
    pick = min if study.minimise[place] else max
    best = [pick(values[: count + 1]) for count in range(len(values))]
    figure, (axes,) = _figure()
    axes.plot(numbers, values, "o", label=name)
    axes.step(numbers, best, where="post", label="best so far")
    axes.set(xlabel="trial", ylabel=name)
    axes.legend()
    return _png(figure)


def importances(study: SweepStudy, place: int) -> dict[str, float]:
    """Return each parameter's share in explaining the objective (PED-ANOVA), 0 where it cannot."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return dict(
                optuna.importance.get_param_importances(
                    study.study,
                    evaluator=optuna.importance.PedAnovaImportanceEvaluator(),
                    target=lambda trial: trial.values[place],
                )
            )
        except (ValueError, RuntimeError, ZeroDivisionError):
            return {}


def importance(study: SweepStudy, place: int, name: str) -> bytes:
    """Draw how much each parameter explains."""
    found = importances(study, place)
    figure, (axes,) = _figure()
    labels = [label.partition("[")[0] for label in reversed(list(found))]
    axes.barh(labels, list(reversed(list(found.values()))))
    axes.set(xlabel=f"share in explaining {name}")
    if not found:
        axes.text(0.5, 0.5, "too few trials to tell", ha="center", transform=axes.transAxes)
    return _png(figure)


def slices(study: SweepStudy, space: Space, place: int, name: str) -> bytes:
    """Draw the objective against each parameter."""
    figure, axes = _figure(max(1, len(space.dimensions)))
    for panel, dimension in zip(axes, space.dimensions, strict=False):
        words = [_spelled(dimension, trial) for trial in study.completed()]
        values = [trial.values[place] for trial in study.completed()]
        numbers = [_number(word) for word in words]
        is_numeric = all(number is not None for number in numbers)
        panel.plot(numbers if is_numeric else words, values, "o")
        if getattr(dimension.distribution, "log", False):
            panel.set_xscale("log")
        panel.set(xlabel=dimension.key)
    axes[0].set(ylabel=name)
    return _png(figure)


def _spelled(dimension: Any, trial: FrozenTrial) -> str:
    return str(dimension.word(trial.params[dimension.param]).partition("=")[2])


def _number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None


def pareto(study: SweepStudy, objectives: Sequence[str]) -> bytes:
    """Draw the two objectives against each other, the front joined."""
    figure, (axes,) = _figure()
    done = [trial for trial in study.completed() if trial.state is TrialState.COMPLETE]
    axes.plot([t.values[0] for t in done], [t.values[1] for t in done], "o", label="trials")
    front = sorted(study.pareto(), key=lambda trial: trial.values[0])
    axes.plot([t.values[0] for t in front], [t.values[1] for t in front], "s-", label="front")
    axes.set(xlabel=objectives[0], ylabel=objectives[1])
    axes.legend()
    return _png(figure)


def page(name: str, pictures: dict[str, bytes]) -> str:
    """Return one HTML page that holds the pictures, readable without a network."""
    title = html.escape(f"study {name}")
    parts = [
        f'<h2>{html.escape(label)}</h2><img alt="{html.escape(label)}" '
        f'src="data:image/png;base64,{base64.b64encode(data).decode()}">'
        for label, data in pictures.items()
    ]
    head = f'<!doctype html><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
    return head + f"<h1>{title}</h1>" + "".join(parts) + "\n"
