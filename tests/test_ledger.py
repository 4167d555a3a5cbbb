"""In = kept + dropped, or the job ends."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evqa.errors import GateError
from evqa.ledger import Ledger


@given(st.lists(st.sampled_from(["kept", "short", "duplicate"]), max_size=30))
def test_what_is_accounted_for_balances(fates):
    ledger = Ledger()
    for number, fate in enumerate(fates):
        ledger.enter("filter")
        if fate == "kept":
            ledger.keep("filter")
        else:
            ledger.drop("filter", id=str(number), source="s", reason=fate)
    ledger.check()
    assert len(ledger.dropped) == len(fates) - fates.count("kept")


@pytest.mark.parametrize("num_kept", [0, 2, 3])
def test_an_imbalance_names_the_stage(num_kept):
    ledger = Ledger()
    ledger.enter("chunks", 2)
    ledger.keep("chunks", num_kept)
    if num_kept == 2:
        ledger.check()
        return
    with pytest.raises(GateError, match="'chunks' does not balance: in=2"):
        ledger.check()


def test_files(tmp_path):
    ledger = Ledger()
    ledger.enter("parse", 3)
    ledger.keep("parse")
    ledger.drop("parse", id="a", source="a.pdf", reason="empty", detail="0 bytes")
    ledger.drop("parse", id="b", source="b.pdf", reason="damaged")
    ledger.write(tmp_path)
    stages = json.loads((tmp_path / "ledger.json").read_text())["stages"]
    assert stages == [
        {"stage": "parse", "in": 3, "kept": 1, "dropped": {"damaged": 1, "empty": 1}}
    ]
    rows = [json.loads(line) for line in (tmp_path / "dropped.jsonl").read_text().splitlines()]
    assert rows[0] == {
        "stage": "parse", "id": "a", "source": "a.pdf", "reason": "empty", "detail": "0 bytes"
    }  # fmt: skip
