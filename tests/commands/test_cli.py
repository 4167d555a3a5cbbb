import json
import subprocess
import sys

import pytest

from evqa import cli
from evqa.registry import Registry
from evqa.serving.auth import KeyRing


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Return ``run(*words)``: exit code, what was printed, what was said on stderr."""

    def run_command(*words, outputs=True):
        extra = ["--outputs-dir", str(tmp_path)] if outputs else []
        monkeypatch.setattr(sys, "argv", ["evqa", *map(str, words), *extra])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        return ended.value.code or 0, captured.out, captured.err

    return run_command


PROOF = {"parity": {"kl_nats": 0.0}, "verdict": "SHIP"}


def publish(folder, **lineage):
    registry = Registry(folder / "registry", "evqa")
    with registry.staging() as staged:
        (staged / "model.safetensors").write_text("w")
        registry.publish(staged, lineage or PROOF)
    return registry


def test_create_prints_the_key_alone_on_the_last_line(run, tmp_path):
    code, out, err = run("keys", "create", "ann")
    assert code == 0
    assert out.count("\n") == 1
    key = out.strip()
    assert KeyRing(tmp_path / "serving" / "keys.json").authenticate(f"Bearer {key}".encode())
    assert key not in err


def test_the_keys_file_may_be_elsewhere(run, tmp_path):
    file = tmp_path / "elsewhere.json"
    key = run("keys", "create", "ann", "--keys-file", file)[1].strip()
    assert KeyRing(file).authenticate(f"Bearer {key}".encode())
    assert "ann" in run("keys", "list", "--keys-file", file)[1]
    assert run("keys", "list")[1] == ""


def test_list_shows_who_and_when_and_never_the_key(run):
    key = run("keys", "create", "ann")[1].strip()
    run("keys", "create", "bob")
    run("keys", "revoke", "bob")
    code, out, _ = run("keys", "list")
    assert code == 0
    ann, bob = out.splitlines()
    assert "ann" in ann
    assert ann.endswith("good")
    assert "revoked 20" in bob
    assert key not in out


def test_mistakes_are_one_line_and_exit_2(run, tmp_path):
    run("keys", "create", "ann")
    for words in (
        ("keys", "create", "ann"),
        ("keys", "revoke", "nobody"),
        ("registry", "verify", "evqa"),
        ("registry", "verify", "evqa/1"),
        ("registry", "promote", "evqa/champion"),
        ("registry", "rollback", "evqa"),
        ("registry", "show", "../evil/1"),
    ):
        code, out, err = run(*words)
        assert (code, out) == (2, "")
        assert err.startswith("error: ")
        assert err.count("\n") == 1


def test_a_keys_file_that_is_a_folder_is_exit_2(run, tmp_path):
    code, _, err = run("keys", "create", "ann", "--keys-file", tmp_path)
    assert code == 2
    assert err.startswith("error: ")


def test_registry_list_shows_versions_with_their_aliases(run, tmp_path):
    assert run("registry", "list") == (0, "", "")
    publish(tmp_path).promote(1)
    publish(tmp_path)
    first, second = run("registry", "list")[1].splitlines()
    assert first.startswith("evqa/1")
    assert first.endswith("champion")
    assert second.endswith("candidate")


def test_show_prints_the_manifest_as_json(run, tmp_path):
    publish(tmp_path, run="runs/a")
    manifest = json.loads(run("registry", "show", "evqa/candidate")[1])
    assert manifest["lineage"] == {"run": "runs/a"}
    assert list(manifest["files"]) == ["model.safetensors"]


def test_verify_says_so_or_names_the_file_and_exits_4(run, tmp_path):
    registry = publish(tmp_path)
    assert run("registry", "verify", "evqa/1")[0] == 0
    (registry.folder(1) / "model.safetensors").write_text("x")
    code, _, err = run("registry", "verify", "evqa/1")
    assert code == 4
    assert "model.safetensors: content has changed" in err


def test_promote_and_rollback(run, tmp_path):
    registry = publish(tmp_path)
    publish(tmp_path)
    assert run("registry", "promote", "evqa/1")[1] == "champion: 1, candidate: 2\n"
    assert run("registry", "promote", "evqa/candidate")[1] == "champion: 2, previous: 1\n"
    assert run("registry", "rollback")[1] == "champion: 1, previous: 2\n"
    assert registry.aliases().champion == 1


def test_promoting_without_proof_needs_force_and_a_reason(run, tmp_path):
    publish(tmp_path, run="x")
    code, _, err = run("registry", "promote", "evqa/1")
    assert code == 4
    assert "evqa/1 is not promoted: its parity" in err
    for words in (["--force"], ["--reason", "x"], ["--force", "--reason", " "]):
        code, _, err = run("registry", "promote", "evqa/1", *words)
        assert code == 2
        assert "--force and --reason '...' belong together" in err
    assert run("registry", "promote", "evqa/1", "--force", "--reason", "demo")[0] == 0
    assert "promote  evqa/1  forced (no parity): demo" in run("registry", "history")[1]


def test_gc_says_what_goes(run, tmp_path):
    for _ in range(4):
        registry = publish(tmp_path)
    words = ("registry", "gc", "--keep", "2")
    assert run(*words, "--dry-run")[1] == "would remove evqa/1\nwould remove evqa/2\n"
    assert run(*words)[1] == "removed evqa/1\nremoved evqa/2\n"
    assert registry.versions() == [3, 4]
    assert run("registry", "gc", "--keep", "0")[0] == 2


def test_diff_shows_before_and_after(run, tmp_path):
    publish(tmp_path, seed=1, config={"lora": {"r": 8}})
    publish(tmp_path, seed=2, config={"lora": {"r": 16}})
    told = run("registry", "diff", "evqa/1", "evqa/2")[1]
    assert told == "seed: 1 -> 2\nconfig.lora.r: 8 -> 16\n"


def test_the_registry_may_be_elsewhere(run, tmp_path):
    publish(tmp_path / "shared")
    folder = tmp_path / "shared" / "registry"
    assert "evqa/1" in run("registry", "list", "--registry-dir", folder)[1]


@pytest.mark.parametrize("words", [["keys", "nonsense"], ["keys", "create"], ["nonsense"]])
def test_a_wrong_command_is_exit_2(run, words):
    assert run(*words, outputs=False)[0] == 2


def test_help_is_instant_and_loads_nothing_heavy():
    script = (
        "import sys\nfrom evqa import cli\nsys.argv = ['evqa', '--help']\n"
        "try:\n    cli.main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'transformers', 'hydra', 'fastapi', 'aiohttp', 'lightning'}\n"
        "sys.exit(str(sorted(heavy & set(sys.modules))) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "keys" in done.stdout


def test_serving_holds_neither_torch_nor_transformers():
    script = (
        "import sys\nimport evqa.serving.launch, evqa.serving.app, evqa.registry\n"
        "heavy = {'torch', 'transformers', 'peft', 'lightning', 'bitsandbytes', 'optuna', "
        "'hydra'}\n"
        "sys.exit(str(sorted(heavy & set(sys.modules))) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
