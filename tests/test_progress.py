"""Progress away from a terminal: a line every ten per cent, never more."""

from hypothesis import given
from hypothesis import strategies as st

from evqa.progress import progress


def test_lines_every_ten_per_cent(capsys):
    with progress("working", 200) as bar:
        for _ in range(200):
            bar.add(1, "fine")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "working: 0 % fine"
    assert lines[-1] == "working: 100 % fine"
    assert len(lines) == 11


def test_the_total_may_come_later(capsys):
    with progress("working") as bar:
        bar.at(5, 10, "half")
        bar.at(10, 10, "done")
    assert capsys.readouterr().err.splitlines() == ["working: 50 % half", "working: 100 % done"]


@given(st.lists(st.integers(0, 20), max_size=20))
def test_any_steps(counts):
    with progress("working", max(1, sum(counts))) as bar:
        for count in counts:
            bar.add(count)
    assert bar._done == sum(counts)
