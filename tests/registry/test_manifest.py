import hashlib
import json

import pytest

from evqa.errors import UserError
from evqa.registry.manifest import VersionManifest, differences, hash_files


def manifest(**changes):
    values = {"name": "evqa", "version": 1, "created": "2026-01-01T00:00:00+00:00"}
    return VersionManifest(**{**values, "files": {}, "lineage": {}, **changes})


def test_a_manifest_survives_writing_and_reading(tmp_path):
    original = manifest(lineage={"run": "ü", "metrics": None})
    original.write(tmp_path)
    assert VersionManifest.read(tmp_path) == original


def test_hashes_are_those_of_the_content(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"abc")
    (tmp_path / "manifest.json").write_text("left out")
    assert hash_files(tmp_path) == {
        "a.bin": {"sha256": hashlib.sha256(b"abc").hexdigest(), "size_bytes": 3}
    }


def test_a_nested_manifest_is_a_file_like_any_other(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "manifest.json").write_text("{}")
    assert list(hash_files(tmp_path)) == ["sub/manifest.json"]


def test_a_dangling_link_is_reported_and_not_followed(tmp_path):
    recorded = manifest(files=hash_files(tmp_path))
    (tmp_path / "link").symlink_to("nowhere")
    assert differences(tmp_path, recorded) == ["link: not in the manifest"]


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"name": "evqa"}', '{"surprise": 1}'])
def test_a_broken_manifest_is_a_user_error(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(UserError, match=r"manifest\.json"):
        VersionManifest.read(tmp_path)


def test_no_manifest_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match="not a registered version"):
        VersionManifest.read(tmp_path)


def test_a_written_manifest_is_plain_json(tmp_path):
    manifest().write(tmp_path)
    assert json.loads((tmp_path / "manifest.json").read_text())["version"] == 1
