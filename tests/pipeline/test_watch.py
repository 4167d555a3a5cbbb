"""What a pipeline shows: states, times, the progress of the stage that runs."""

import json

import pytest

from evqa.config.jobs import Stage
from evqa.errors import GateError
from evqa.pipeline.watch import Watch
from evqa.progress import progress


def rows(watch):
    table = watch.table()
    return list(zip(*(column.cells for column in table.columns), strict=True))


def lines(folder):
    return [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]


def test_a_stage_that_ends_well(tmp_path, capsys):
    watch = Watch(tmp_path, [Stage.prepare, Stage.train])
    with watch.running(Stage.prepare) as row:
        print("a table of the stage")
        row.state, row.figure = "done", "47 documents"
    assert (tmp_path / "pipeline.log").read_text() == "a table of the stage\n"
    assert capsys.readouterr().out == ""
    assert [r[1] for r in rows(watch)] == ["prepare", "train"]
    assert rows(watch)[0][0] == "✓"
    assert rows(watch)[0][4] == "47 documents"
    assert [row["event"] for row in lines(tmp_path)] == ["stage_started", "stage_finished"]


def test_a_stage_that_fails_is_told_with_its_reason(tmp_path, capsys):
    watch = Watch(tmp_path, [Stage.gate])
    with pytest.raises(GateError), watch.running(Stage.gate):
        raise GateError("NO_SHIP: worse")
    assert rows(watch)[0][0] == "✗"
    assert lines(tmp_path)[-1]["event"] == "stage_failed"
    assert lines(tmp_path)[-1]["figure"] == "NO_SHIP: worse"
    assert "gate      failed" in capsys.readouterr().err


def test_progress_inside_a_stage_is_shown_in_its_row_and_nowhere_else(tmp_path, capsys):
    watch = Watch(tmp_path, [Stage.train])
    with watch.running(Stage.train) as row:
        with progress("training", 4) as bar:
            bar.add(1, "loss 2.0")
        seen = row.figure
        row.state, row.figure = "done", "47 steps"
    assert seen == "training 25 % loss 2.0"
    assert "%" not in capsys.readouterr().err


def test_the_summary_tells_every_stage(tmp_path):
    watch = Watch(tmp_path, [Stage.prepare, Stage.train])
    watch.summary(version=3, run=tmp_path, failed=None)
    told = json.loads((tmp_path / "summary.json").read_text())
    assert [row["state"] for row in told["stages"]] == ["waiting", "waiting"]
    assert told["version"] == 3
