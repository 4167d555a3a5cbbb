"""Alerts and dashboard speak of series that the server has."""

import json
import re
from pathlib import Path

import pytest
import yaml

from evqa.serving.metrics import ServerMetrics

MONITORING = Path(__file__).parents[2] / "docs" / "monitoring"


@pytest.fixture(scope="module")
def series():
    metrics = ServerMetrics()
    metrics.count("evqa/1", "/predict", 502, "engine_error")
    metrics.observe(
        "evqa/1", latency_s=1, first_byte_s=0.1, queue_s=0.1, num_prompt_tokens=1,
        num_completion_tokens=1,
    )  # fmt: skip
    metrics.engine_up("evqa/1", up=True)
    metrics.count_restart("evqa/1")
    metrics.count_swap("done")
    metrics.count_rollback("evqa/1")
    text = metrics.render(in_flight=0, waiting=0).decode()
    return {
        line.split("{")[0].split(" ")[0]: set(re.findall(r'(\w+)="', line))
        for line in text.splitlines()
        if not line.startswith("#")
    }


def rules():
    (group,) = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]
    return group["rules"]


def dashboard():
    return json.loads((MONITORING / "grafana-dashboard.json").read_text())


def expressions():
    for rule in rules():
        yield rule["alert"], rule["expr"]
    for panel in dashboard()["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


@pytest.mark.parametrize(("title", "expression"), list(expressions()))
def test_an_expression_names_series_and_labels_that_exist(series, title, expression):
    names = re.findall(r"\bevqa_\w+", expression)
    assert names or "up{job=" in expression
    for name in names:
        assert name in series, title
        by = re.search(r"by \(([^)]*)\)", expression)
        labels = set(by[1].replace(" ", "").split(",")) if by else set()
        assert labels - {"le", "instance"} <= series[name]


def test_every_alert_says_what_to_do_and_how_urgent_it_is():
    for rule in rules():
        assert rule["annotations"].keys() == {"summary", "action"}
        assert rule["labels"]["severity"] in ("page", "ticket")
    assert len({rule["alert"] for rule in rules()}) == len(rules())


def test_an_alert_speaks_of_labels_that_its_expression_keeps():
    for rule in rules():
        used = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
        by = re.search(r"by \(([^)]*)\)", rule["expr"])
        if by:
            assert used <= set(by[1].replace(" ", "").split(",")), rule["alert"]


def test_panels_do_not_lie_on_each_other():
    taken = set()
    for panel in dashboard()["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
