"""The report: one page that loads nothing, says the verdict first, and survives any text."""

import re
from html.parser import HTMLParser

import pytest
from answers_for_tests import RIGHT, WRONG, compared, question
from browser import chromium, needs_chromium

from evqa.evaluation.report import (
    Evaluation,
    drawn,
    extremes,
    html,
    lowest,
    mark_differences,
    markdown,
)
from evqa.evaluation.verdict import decide

PERFORMANCE = {
    name: {
        "ttft_ms": {"p50": 8.0, "p95": 9.0, "p99": 9.5},
        "per_token_ms": {"p50": 4.0, "p95": 5.0, "p99": 6.0},
        "per_token_samples_ms": [4.0, 4.5, 6.0],
        "throughput_tokens_per_s": {"1": 200.0, "8": 1200.0},
        "peak_rss_gib": 0.5,
        "peak_gpu_gib": None,
        "load_s": 1.0,
    }
    for name in ("base", "tuned")
}
STEPS = [
    {"step": n, "loss": 3.0 / n, "validation_loss": 1.0 if n == 3 else None} for n in (1, 2, 3)
]


def evaluation(base=WRONG, tuned=RIGHT, **values):
    comparison = compared(base, tuned, values.pop("questions", None))
    comparison.additional.update({"base": {"x": None}, "tuned": {"x": 0.25}})
    fields = {
        "retention": compared(RIGHT, RIGHT),
        "verdict": decide(comparison),
        "performance": PERFORMANCE,
        "steps": STEPS,
        "provenance": {"seed": "42"},
    }
    return Evaluation(comparison=comparison, **{**fields, **values})


def page(made):
    return html(made, drawn(made))


class Outline(HTMLParser):
    """Collects what a browser would load, and checks that elements nest."""

    VOID = {"meta", "br", "hr", "img", "link", "input", "path", "use", "rect"}

    def __init__(self):
        super().__init__()
        self.open, self.loads, self.text = [], [], []

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag in ("script", "img", "iframe", "object", "embed", "link"):
            self.loads.append((tag, given))
        self.loads += [(n, v) for n, v in attributes if n in ("src", "background") and v]
        self.loads += [
            (n, v)
            for n, v in attributes
            if n.endswith("href") and not v.startswith(("#", "data:"))
        ]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def outline(text):
    made = Outline()
    made.feed(text)
    assert made.open == []
    return made


def test_the_page_is_whole_small_and_loads_nothing():
    text = page(evaluation())
    assert outline(text).loads == []
    assert len(text.encode()) < 2_000_000
    assert not re.search(r"url\((?!#)|@import", text)


def test_the_verdict_comes_first():
    words = " ".join("".join(outline(page(evaluation())).text).split())
    assert words.index("SHIP") < words.index("Scores") < words.index("Answers side by side")
    assert "a true difference of 0.0 points is found in four cases of five" in words
    assert "42" in words


def test_pictures_without_data_are_left_out():
    names = {chart.name for chart in drawn(evaluation())}
    assert names == {"by_category", "by_split", "difficulty_map", "token_times", "training_curves"}
    bare = {chart.name for chart in drawn(evaluation(performance={}, steps=()))}
    assert bare == {"by_category", "by_split", "difficulty_map"}
    assert all(chart.png.startswith(b"\x89PNG") for chart in drawn(evaluation()))
    page(evaluation(performance={}, steps=(), retention=None))


def test_the_pictures_are_the_same_every_time():
    assert [c.svg for c in drawn(evaluation())] == [c.svg for c in drawn(evaluation())]


AWFUL = [
    "<script>alert(1)</script>",
    "a | b\n# c",
    "\u202e\x00\x07",
    "&lt;",
    "",
    "電気 ½",
    "x " * 5000,
]


def test_awful_answers_are_shown_as_text():
    tuned = (AWFUL * 6)[:40]
    questions = [question(n, category="<b>", question=f"{{{{ {n} }}}}?") for n in range(40)]
    text = page(evaluation(RIGHT, tuned, questions=questions))
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "{{ 0 }}?" in "".join(outline(text).text)


def test_differences_are_marked():
    assert mark_differences("It draws 16 A.", "It draws 32 A.") == "It draws <mark>16</mark> A."
    assert mark_differences("it draws 32 a", "It draws 32 A.") == "it draws 32 a"
    assert mark_differences("", "It draws 32 A.") == ""
    assert mark_differences("<b>", "x") == "<mark>&lt;b&gt;</mark>"


def test_the_extremes_are_where_they_are_said_to_be():
    made = compared(WRONG[:20] + RIGHT[20:], RIGHT[:20] + RIGHT[20:39] + WRONG[39:])
    best, worst = extremes(made)
    assert len(best) == 8
    assert set(best) < set(range(20))
    assert worst == [39]
    assert lowest(made)[0] == 39


def test_markdown_says_the_same():
    made = evaluation()
    text = markdown(made)
    assert text.startswith("# SHIP")
    assert text.count("- reference: ") == 20
    for word in ("key_fact_recall", "## General questions", "## Performance", "| seed | `42` |"):
        assert word in text


@needs_chromium
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_shows_it_without_complaint(tmp_path, width):
    """No console message, nothing wider than the window, no request."""
    probe = (
        "<script>window.onload = () => { document.title = 'width ' + "
        "document.documentElement.scrollWidth }</script>"
    )
    file = tmp_path / "report.html"
    file.write_text(page(evaluation()).replace("</body>", probe + "</body>"))
    done = chromium(
        tmp_path / "profile", f"--window-size={width},900", "--enable-logging=stderr",
        "--virtual-time-budget=2000", "--dump-dom", file.as_uri(),
    )  # fmt: skip
    assert "CONSOLE" not in done.stderr
    shown = int(re.search(r"<title>width (\d+)</title>", done.stdout)[1])
    assert shown <= max(width, 500)  # headless windows are 500 pixels wide at least
