"""``evqa keys`` with limits, and ``evqa usage``."""

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from test_cli import run  # noqa: F401  the fixture

from evqa.serving.auth import KeyRing
from evqa.serving.keys import read_keys
from evqa.serving.limits import this_month
from evqa.serving.usage import UsageJournal, UsageLine


def test_a_key_takes_limits_scopes_and_an_end(run, tmp_path):  # noqa: F811
    words = ["--owner", "Ann", "--expires", "90d", "--model", "evqa", "--route", "/predict"]
    words += ["--route", "/v1/models", "--requests-per-minute", 60, "--tokens-per-minute", 1000]
    words += ["--max-concurrent", 4, "--monthly-tokens", 100_000]
    code, out, _ = run("keys", "create", "shop", *words)
    assert code == 0
    assert out.startswith("evqa-")
    (key,) = read_keys(tmp_path / "serving" / "keys.json")
    assert (key.owner, key.models, key.routes) == ("Ann", ["evqa"], ["/predict", "/v1/models"])
    assert (key.requests_per_minute, key.tokens_per_minute) == (60, 1000)
    assert (key.max_concurrent, key.monthly_tokens) == (4, 100_000)
    left = datetime.fromisoformat(key.expires) - datetime.now(UTC)
    assert timedelta(days=89) < left <= timedelta(days=90)
    listed = run("keys", "list")[1]
    assert "owner=Ann" in listed
    assert "good until" in listed
    about = json.loads(run("keys", "list", "--json")[1])[0]
    assert about["routes"] == ["/predict", "/v1/models"]
    assert "sha256" not in about


def test_an_unlimited_key_is_stored_as_such(run, tmp_path):  # noqa: F811
    run("keys", "create", "ann")
    (key,) = read_keys(tmp_path / "serving" / "keys.json")
    assert key.unlimited
    stored = json.loads((tmp_path / "serving" / "keys.json").read_text())["keys"][0]
    assert stored.keys() == {"id", "name", "sha256", "created"}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--expires", "soon"], "'soon' is not a duration"),
        (["--expires", "2020-01-01"], "has passed"),
        (["--expires", "2027-13-01"], "is no date"),
        (["--route", "/admin"], "route: must be one of"),
    ],
)
def test_a_setting_that_cannot_be_is_one_line_and_nothing_is_written(run, tmp_path, words, told):  # noqa: F811
    code, out, err = run("keys", "create", "x", *words)
    assert (code, out) == (2, "")
    assert told in err
    assert err.count("\n") == 1
    assert not (tmp_path / "serving" / "keys.json").exists()


def test_a_limit_of_nothing_is_refused(run):  # noqa: F811
    assert run("keys", "create", "x", "--requests-per-minute", 0)[0] == 2


def test_rotate_gives_a_new_secret_and_a_grace_time(run, tmp_path):  # noqa: F811
    file = tmp_path / "serving" / "keys.json"
    old = run("keys", "create", "ann", "--requests-per-minute", 9)[1].strip()
    new = run("keys", "rotate", "ann", "--grace", "1h")[1].strip()
    now = datetime.now(UTC).timestamp()
    for wall_s, good in ((now, [True, True]), (now + 3700, [False, True])):
        ring = KeyRing(file, wall_clock=lambda s=wall_s: s)
        found = [ring.authenticate(f"Bearer {key}".encode()) for key in (old, new)]
        assert [key is not None for key in found] == good
    assert found[1].requests_per_minute == 9
    newest = run("keys", "rotate", "ann")[1].strip()
    ring = KeyRing(file)
    opens = [bool(ring.authenticate(f"Bearer {key}".encode())) for key in (old, new, newest)]
    assert opens == [False, False, True]
    assert run("keys", "rotate", "nobody")[0] == 2


def line(**changes):
    values = {
        "time": f"{this_month()}-02T03:04:05.678+00:00", "id": "req_1", "key_id": "k",
        "version": "evqa/1", "route": "/predict", "status": 200, "num_prompt_tokens": 3,
        "num_completion_tokens": 4,
    }  # fmt: skip
    return UsageLine(**{**values, **changes})


@pytest.fixture
def journal(run, tmp_path):  # noqa: F811
    run("keys", "create", "ann")
    (key,) = read_keys(tmp_path / "serving" / "keys.json")
    made = UsageJournal(tmp_path / "serving" / "usage")
    made.append(line(key_id=key.id))
    made.append(line(key_id=key.id, status=502, version="evqa/2", num_completion_tokens=0))
    made.append(line(key_id="gone", route="/v1/completions"))
    made.append(line(key_id="gone", time="2020-05-01T00:00:00.000+00:00"))
    return made


def test_usage_adds_up_by_key_with_names(run, journal):  # noqa: F811
    code, out, _ = run("usage")
    assert code == 0
    head, *rows = out.splitlines()
    assert re.split(r"\s{2,}", head)[1:] == [
        "requests", "errors", "prompt tokens", "completion tokens"
    ]  # fmt: skip
    figures = {row.split()[0]: row.split()[-4:] for row in rows}
    assert figures == {"ann": ["2", "1", "6", "4"], "?": ["1", "0", "3", "4"]}


@pytest.mark.parametrize(
    ("by", "names"),
    [
        ("version", {"evqa/1", "evqa/2"}),
        ("route", {"/predict", "/v1/completions"}),
        ("day", {"2020-05-01", f"{this_month()}-02"}),
    ],
)
def test_usage_adds_up_by_other_things_and_as_json(run, journal, by, names):  # noqa: F811
    found = json.loads(run("usage", "--by", by, "--month", "all", "--json")[1])
    assert set(found) == names
    assert sum(used["num_requests"] for used in found.values()) == 4


def test_a_month_without_usage_names_those_with(run, journal):  # noqa: F811
    code, _, err = run("usage", "--month", "2019-01")
    assert code == 2
    assert re.search(r"nothing of 2019-01 \(months: 2020-05, ", err)
    assert len(run("usage", "--month", "2020-05")[1].splitlines()) == 2


def test_no_usage_yet_is_an_empty_table(run):  # noqa: F811
    code, out, _ = run("usage")
    assert code == 0
    assert len(out.splitlines()) == 1
