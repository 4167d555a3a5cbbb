"""Several devices: who starts whom, and that nothing of it stays behind."""

import os
import subprocess
import sys
import time

import psutil
import pytest

from evqa.config import load_config
from evqa.config.training import TrainerConfig
from evqa.errors import ConfigError
from evqa.training import strategy


def plan(**given):
    values = {"accelerator": "cpu", "devices": 3, "strategy": "ddp", "micro_batch_size": 1}
    return TrainerConfig(**{**values, "effective_batch_size": 12, **given})


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    for name in (strategy.RANK, "NODE_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def started(monkeypatch):
    """Followers that only wait, in place of trainings."""
    processes = []

    def start(folder, rank):
        script = f"import os, time; print(os.environ['{strategy.RANK}']); time.sleep(60)"
        environment = {**os.environ, strategy.RANK: str(rank)}
        process = subprocess.Popen(
            [sys.executable, "-c", script], env=environment, stdout=subprocess.DEVNULL
        )
        processes.append(process)
        return process

    monkeypatch.setattr(strategy, "_start", start)
    monkeypatch.setattr(strategy, "GRACE_S", 0.1)
    return processes


def test_one_device_starts_nobody(started, tmp_path):
    with strategy.followers(plan(devices=1, strategy="auto"), tmp_path):
        assert strategy.RANK not in os.environ
    assert not started


def test_the_first_process_starts_the_others_and_ends_them(started, tmp_path):
    with pytest.raises(RuntimeError, match="broken"), strategy.followers(plan(), tmp_path):
        assert len(started) == 2
        assert os.environ[strategy.RANK] == "0"
        assert int(os.environ["MASTER_PORT"]) > 0
        assert not strategy.is_follower()
        raise RuntimeError("broken")
    assert all(process.poll() is not None for process in started)
    assert strategy.RANK not in os.environ


def test_what_was_set_before_is_put_back(started, tmp_path, monkeypatch):
    monkeypatch.setenv("MASTER_ADDR", "10.0.0.1")
    try:
        with strategy.followers(plan(), tmp_path):
            assert os.environ["MASTER_ADDR"] == "127.0.0.1"
            for process in started:
                process.kill()
                process.wait()
    finally:
        assert os.environ["MASTER_ADDR"] == "10.0.0.1"


@pytest.mark.parametrize(
    ("rank", "node", "follows"), [("0", "0", False), ("1", "0", True), ("0", "2", True)]
)
def test_torchrun_and_slurm_have_started_them_already(
    started, tmp_path, monkeypatch, rank, node, follows
):
    monkeypatch.setenv(strategy.RANK, rank)
    monkeypatch.setenv("NODE_RANK", node)
    with strategy.followers(plan(), tmp_path):
        assert strategy.is_follower() is follows
    assert not started


def test_a_follower_dies_with_its_leader(tmp_path):
    child = "from evqa.training.strategy import die_with_parent; die_with_parent(); import time; time.sleep(60)"
    leader = f"import subprocess, sys, time; print(subprocess.Popen([sys.executable, '-c', {child!r}]).pid, flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", leader], stdout=subprocess.PIPE, text=True)
    pid = int(process.stdout.readline())
    time.sleep(2.0)  # it has asked the kernel by now
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 60
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_free_port_is_free():
    assert strategy.free_port() != 0


CONFLICTS = [
    (
        ["trainer.devices=2", "trainer.effective_batch_size=64"],
        "must be ddp or fsdp for 2 devices",
    ),
    (["trainer.strategy=dp"], "trainer.strategy: must be auto, ddp or fsdp"),
    (["trainer.accelerator=tpu"], "trainer.accelerator: must be cpu, gpu or auto"),
    (["trainer=ddp", "trainer.on_out_of_memory=halve"], "on_out_of_memory: must be stop with 2"),
    (
        ["quantization=none", "quantization.head=true"],
        "quantization.head: needs quantization.kind",
    ),
    (["lora.init=pissa", "lora.use_dora=true"], "lora.init: must be default with lora.use_dora"),
    (["lora.init=loftq", "lora.bias=all"], "lora.init: must be default with lora.bias=all"),
    (["lora.dtype=fp16"], "lora.dtype: must be fp32 or bf16"),
    (
        ["memory.offload_checkpoints=true", "memory.gradient_checkpointing=false"],
        "memory.offload_checkpoints: needs memory.gradient_checkpointing=true",
    ),
    (["optimizer.lora_plus_ratio=0.5"], "optimizer.lora_plus_ratio: must be >= 1"),
    (["memory.checkpointed_share=1.5"], "memory.checkpointed_share: must be >= 0 and <= 1"),
]


@pytest.mark.parametrize(("words", "said"), CONFLICTS)
def test_what_cannot_go_together_is_one_line(words, said):
    with pytest.raises(ConfigError) as error:
        load_config("train", words)
    assert said in str(error.value)
