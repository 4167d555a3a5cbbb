"""Every mistake in a configuration is one line with the full key and what to do."""

import subprocess
import sys
from pathlib import Path

import pytest

from evqa.config import load_config
from evqa.config.run_job import expand
from evqa.errors import ConfigError

ROOT = Path(__file__).parents[2]

MISTAKES = [
    ("lora.rr=16", "lora.rr", "lora.r?"),
    ("+lora.rr=16", "lora.rr", "lora.r?"),
    ("r=16", "r", "lora.r?"),
    ("lora.r=abc", "lora.r", "abc"),
    ("lora.r=0", "lora.r", ">= 1"),
    ("+lora.r=4", "lora.r", "leave out the +"),
    ("~lora.r", "lora.r", "cannot be removed"),
    ("lora=r12", "lora", "r16"),
    ("lora=null", "lora", "allowed: all_linear"),
    ("lorra=r16", "lorra", "lora?"),
    ("experiment=smok", "experiment", "smoke?"),
    ("model=tinny", "model", "tiny?"),
    ("quantization.kind=nf5", "quantization.kind", "nf4"),
    ("trainer.micro_batch_size=3", "trainer.effective_batch_size", "multiple"),
    ("documents.chunk_overlap_words=999", "documents.chunk_overlap_words", "smaller"),
    ("optimizer.betas=[1,2,3]", "optimizer.betas", "two numbers"),
    ("optimizer.lr=-1", "optimizer.lr", "> 0"),
    ("seed=1.5", "seed", "1.5"),
    ("data=jsonl", "data.path", "must be set"),
    ("model.pretrain.enabled=false", "model.path", "hub id"),
    ("lora", "lora", "key=value"),
    ("hydra.nonsense=1", "hydra.nonsense", "nonsense"),
    ("sources.web.urls=[http://a.b/c?x=1&y=(2)]", "sources.web.urls", "quote it"),
    ("data.name=a=b", "data.name", "quote it"),
]


@pytest.mark.parametrize(("word", "key", "hint"), MISTAKES, ids=[m[0] for m in MISTAKES])
def test_a_mistake_names_the_key_and_the_way_out(word, key, hint):
    with pytest.raises(ConfigError) as caught:
        load_config("train", [word])
    message = str(caught.value)
    assert message.startswith(key)
    assert hint in message
    assert "\n" not in message


@pytest.mark.parametrize("job", ["train", "prepare", "plan", "evaluate", "release", "serve"])
def test_every_job_refuses_an_unknown_key(job):
    for word in ("sede=1", "+sede=1"):
        with pytest.raises(ConfigError, match="sede: unknown key.*Did you mean seed"):
            load_config(job, [word])


def test_quoted_addresses_are_read():
    address = "http://a.b/c?x=1&y=(2)#top"
    config = load_config("prepare", [f'sources.web.urls=["{address}"]'])
    assert config.sources.web.urls == [address]


def test_a_multirun_is_every_combination_in_order():
    assert expand(["lora.r=8,16", "seed=1,2", "name=x"]) == [
        ["lora.r=8", "seed=1", "name=x"],
        ["lora.r=8", "seed=2", "name=x"],
        ["lora.r=16", "seed=1", "name=x"],
        ["lora.r=16", "seed=2", "name=x"],
    ]


def run(*words, cwd=ROOT):
    return subprocess.run(
        [sys.executable, *words], cwd=cwd, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize(
    "words",
    [
        ["train.py", "lora.rr=8"],
        ["train.py", "+lora.rr=8"],
        ["train.py", "-m", "lora.r=8,0"],
        ["train.py", "-m", "lora=r8,r9"],
        ["evaluate.py", "rum=latest"],
        ["-m", "evqa.plan", "lora.alpha=-1"],
    ],
    ids=lambda words: " ".join(words),
)
def test_a_bad_command_line_starts_nothing(words, tmp_path):
    done = run(*words, f"paths.outputs_dir={tmp_path / 'outputs'}")
    assert done.returncode == 2
    lines = done.stderr.strip().splitlines()
    assert 1 <= len(lines) <= 2
    assert lines[0].startswith("error: ")
    assert "Traceback" not in done.stderr + done.stdout
    assert not (tmp_path / "outputs").exists()


def test_help_is_instant_and_needs_no_torch(tmp_path):
    probe = (
        "import sys; sys.argv=['train.py','--help']; import runpy\n"
        "try: runpy.run_path('train.py', run_name='__main__')\n"
        "except SystemExit as end: code = end.code\n"
        "heavy = {'torch','lightning','transformers','peft','datasets'} & set(sys.modules)\n"
        "sys.exit(code or len(heavy))"
    )
    done = run("-c", probe)
    assert done.returncode == 0, done.stderr
    assert "lora.r=16" in done.stdout
    assert "all_linear, attention, default, dora" in done.stdout


def test_cfg_job_prints_the_whole_config():
    done = run("train.py", "--cfg", "job", "lora.r=24")
    assert done.returncode == 0
    assert "  r: 24\n" in done.stdout
    for group in ("data:", "model:", "lora:", "optimizer:", "paths:"):
        assert f"\n{group}" in done.stdout or done.stdout.startswith(group)
