import json
import threading

import pytest

from evqa.errors import UserError
from evqa.serving.auth import KeyRing
from evqa.serving.keys import create_key, read_keys, revoke_key


class Clock:
    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def path(tmp_path):
    return tmp_path / "serving" / "keys.json"


@pytest.fixture
def clock():
    return Clock()


def bearer(key):
    return f"Bearer {key}".encode()


def test_a_key_opens_and_its_record_names_it(path):
    key = create_key(path, "ann")
    assert KeyRing(path).authenticate(bearer(key)).name == "ann"


def test_the_key_itself_is_never_written(path):
    key = create_key(path, "ann")
    assert key.startswith("evqa-")
    assert len(key) > 40
    assert key.removeprefix("evqa-") not in path.read_text()


def test_two_keys_are_never_alike(path):
    assert create_key(path, "a") != create_key(path, "b")


def wrong_headers(key):
    return [
        None,
        b"",
        b"Bearer",
        b"Bearer ",
        key.encode(),
        b"Basic " + key.encode(),
        bearer(key[:-1]),
        bearer(key + "x"),
        bearer(key.swapcase()),
        b"Bearer \xff\xfe",
        b"Bearer " + b"x" * 100_000,
        bearer("null"),
    ]


def test_everything_else_is_refused(path):
    key = create_key(path, "ann")
    ring = KeyRing(path)
    assert [h for h in wrong_headers(key) if ring.authenticate(h) is not None] == []


def test_the_digest_in_the_file_is_no_key(path):
    create_key(path, "ann")
    digest = read_keys(path)[0].sha256
    assert KeyRing(path).authenticate(bearer(digest)) is None


@pytest.mark.parametrize("header", ["bearer {}", "BEARER {}", "Bearer  {}", "Bearer {} "])
def test_scheme_and_spaces_are_read_generously(path, header):
    key = create_key(path, "ann")
    assert KeyRing(path).authenticate(header.format(key).encode())


def test_changes_are_live_within_two_seconds(path, clock):
    ann = create_key(path, "ann")
    ring = KeyRing(path, clock)
    bob = create_key(path, "bob")
    revoke_key(path, "ann")
    clock.now_s = 1.9
    assert ring.authenticate(bearer(ann)) is None
    assert ring.authenticate(bearer(bob)).name == "bob"


def test_the_file_is_looked_at_once_a_second_at_most(path, clock, monkeypatch):
    ring = KeyRing(path, clock)
    looks = []
    monkeypatch.setattr(ring, "_stat", lambda: looks.append(1))
    for _ in range(100):
        ring.authenticate(b"Bearer x")
    assert looks == []
    clock.now_s = 1.5
    for _ in range(100):
        ring.authenticate(b"Bearer x")
    assert looks == [1]


BROKEN = ["", "{", "[]", "{}", '{"keys": 3}', '{"keys": [{}]}', '{"keys": [{"id": "x"}]}', "null"]
BROKEN += ['{"keys": [{"id": "a", "name": "a", "sha256": "short", "created": "x"}]}']


@pytest.mark.parametrize("content", BROKEN)
def test_a_broken_file_keeps_the_last_good_keys(path, clock, caplog, content):
    key = create_key(path, "ann")
    ring = KeyRing(path, clock)
    path.write_text(content)
    clock.now_s = 5
    assert ring.authenticate(bearer(key))
    assert "keeping the keys read before" in caplog.text
    assert key not in caplog.text


def test_a_file_that_is_gone_keeps_the_last_good_keys_and_a_new_one_counts(path, clock):
    ann = create_key(path, "ann")
    ring = KeyRing(path, clock)
    path.unlink()
    clock.now_s = 5
    assert ring.authenticate(bearer(ann))
    bob = create_key(path, "bob")
    clock.now_s = 10
    assert ring.authenticate(bearer(bob))
    assert ring.authenticate(bearer(ann)) is None


@pytest.mark.parametrize("content", BROKEN)
def test_a_broken_file_at_the_start_is_a_user_error(path, content):
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(UserError, match=r"keys\.json"):
        KeyRing(path)


def test_a_missing_file_holds_no_keys(path):
    assert read_keys(path) == []
    assert len(KeyRing(path)) == 0


@pytest.mark.parametrize("name", ["", " ", "x" * 65, "a\nb", "\x1b[31m"])
def test_awful_names_are_refused(path, name):
    with pytest.raises(UserError, match="key name"):
        create_key(path, name)


def test_a_name_in_use_is_refused_until_it_is_revoked(path):
    create_key(path, "ann")
    with pytest.raises(UserError, match="a key named 'ann' exists"):
        create_key(path, "ann")
    revoke_key(path, "ann")
    create_key(path, "ann")
    assert [key.revoked is None for key in read_keys(path)] == [False, True]


def test_revoking_takes_name_or_id_and_names_what_there_is(path):
    create_key(path, "ann")
    create_key(path, "bob")
    bob = read_keys(path)[1]
    assert revoke_key(path, bob.id).name == "bob"
    with pytest.raises(UserError, match=r"no good key named 'bob' \(good keys: ann\)"):
        revoke_key(path, "bob")


def test_keys_made_at_the_same_time_are_all_kept(path):
    threads = [threading.Thread(target=create_key, args=(path, f"k{n}")) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(key.name for key in read_keys(path)) == [f"k{n}" for n in range(8)]
    assert json.loads(path.read_text()).keys() == {"keys"}
