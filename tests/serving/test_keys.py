import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evqa.errors import UserError
from evqa.serving.keys import (
    LIMITS,
    ROUTES,
    ApiKey,
    create_key,
    describe,
    digest_of,
    read_keys,
    revoke_key,
    rotate_key,
)

NOW = datetime(2026, 6, 1, tzinfo=UTC)
BASE = {"id": "k", "name": "k", "sha256": "0" * 64, "created": "2026-01-01T00:00:00+00:00"}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "serving" / "keys.json"


def key(**fields):
    return ApiKey(**{**BASE, **fields})


limits = st.fixed_dictionaries({}, optional={name: st.integers(1, 10**9) for name in LIMITS})
scopes = st.fixed_dictionaries(
    {}, optional={"models": st.lists(st.text(min_size=1), min_size=1), "owner": st.text()}
)


@given(limits, scopes)
def test_what_is_written_is_read_again(tmp_path_factory, limits, scopes):
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    scopes = {name: value for name, value in scopes.items() if "\ud800" not in str(value)}
    plain = create_key(path, "a", **limits, **scopes)
    (found,) = read_keys(path)
    assert found.sha256 == digest_of(plain)
    assert {name: getattr(found, name) for name in {**limits, **scopes}} == {**limits, **scopes}
    assert found.unlimited == (not limits)


def test_a_file_of_the_first_kind_is_still_read(path):
    """Only id, name, sha256, created and revoked: what the first version wrote."""
    path.parent.mkdir()
    path.write_text(json.dumps({"keys": [BASE, {**BASE, "revoked": "2026-02-01T00:00:00+00:00"}]}))
    first, second = read_keys(path)
    assert first.unlimited
    assert first.state(NOW) == "good"
    assert second.state(NOW).startswith("revoked 2026-02-01")


@pytest.mark.parametrize(
    "fields",
    [
        {"requests_per_minute": "60"},
        {"models": "evqa"},
        {"expires": 5},
        {"expires": "soon"},
        {"unknown": 1},
        {"name": None},
        {"previous_sha256": "short", "previous_expires": "2026-01-01T00:00:00+00:00"},
    ],
)
def test_a_key_that_makes_no_sense_is_a_broken_file(path, fields):
    path.parent.mkdir()
    path.write_text(json.dumps({"keys": [{**BASE, **fields}]}))
    with pytest.raises(UserError, match="not a keys file"):
        read_keys(path)


def test_a_file_nested_without_end_is_a_broken_file(path):
    path.parent.mkdir()
    path.write_text("[" * 100_000)
    with pytest.raises(UserError, match=r"keys\.json"):
        read_keys(path)


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({}, "good"),
        ({"expires": "2026-07-01T00:00:00+00:00"}, "good until 2026-07-01T00:00:00+00:00"),
        ({"expires": "2026-05-01T00:00:00+00:00"}, "expired 2026-05-01T00:00:00+00:00"),
        ({"expires": "2026-05-01T00:00:00"}, "expired 2026-05-01T00:00:00"),  # by hand: UTC
        ({"revoked": "2026-05-01", "expires": "2026-07-01"}, "revoked 2026-05-01"),
    ],
)
def test_the_state_of_a_key(fields, state):
    assert key(**fields).state(NOW) == state


def test_a_scope_of_routes_is_exact_and_metrics_must_be_named():
    assert [route for route in ROUTES if key().may_use(route)] == list(ROUTES[:-1])
    assert [r for r in ROUTES if key(routes=["/metrics"]).may_use(r)] == ["/metrics"]
    assert not key(routes=["/v1/models"]).may_use("/v1/models/")


def test_a_scope_of_models():
    assert key().may_ask("anything")
    assert key(models=["evqa"]).may_ask("evqa")
    assert not key(models=["evqa"]).may_ask("EVQA")


def test_the_previous_secret_ends_with_the_key_at_the_latest():
    later, sooner = "2026-07-01T00:00:00+00:00", "2026-06-02T00:00:00+00:00"
    rotated = key(expires=sooner, previous_sha256="1" * 64, previous_expires=later)
    ends = dict(rotated.digests())
    assert ends["0" * 64] == ends["1" * 64] == datetime.fromisoformat(sooner).timestamp()


def test_rotating_twice_ends_the_first_secret(path):
    first = create_key(path, "a")
    rotate_key(path, "a", timedelta(days=7))
    rotate_key(path, "a", timedelta(days=7))
    (found,) = read_keys(path)
    assert digest_of(first) not in dict(found.digests())
    assert len(found.digests()) == 2


def test_a_name_may_be_used_again_once_it_is_revoked(path):
    create_key(path, "a")
    revoke_key(path, "a")
    create_key(path, "a")
    states = [found.state(NOW).split()[0] for found in read_keys(path)]
    assert states == ["revoked", "good"]
    with pytest.raises(UserError, match="a key named 'a' exists"):
        create_key(path, "a")


def test_a_key_may_be_named_by_its_id(path):
    create_key(path, "a")
    (found,) = read_keys(path)
    assert revoke_key(path, found.id).name == "a"
    with pytest.raises(UserError, match=r"no good key named 'a' \(good keys: none\)"):
        rotate_key(path, "a", timedelta(0))


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("value", [0, -1])
def test_a_limit_below_one_is_refused(path, name, value):
    with pytest.raises(UserError, match=f"{name}: must be at least 1"):
        create_key(path, "a", **{name: value})
    assert not path.exists()


def test_a_description_holds_no_digest():
    about = describe(key(previous_sha256="1" * 64, owner="Ann", monthly_tokens=5))
    assert about == {
        "id": "k", "name": "k", "created": BASE["created"], "owner": "Ann", "monthly_tokens": 5
    }  # fmt: skip
    assert asdict(key())["owner"] is None
