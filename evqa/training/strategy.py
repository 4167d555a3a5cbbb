"""Several devices: Lightning's strategy, and the processes that follow the first.

Lightning would start the others by running ``sys.argv`` again, ``-m`` and all: a second run
folder, or a second sweep. Here each follower is told the run folder and reads its config there.
"""

import ctypes
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evqa.config.training import TrainerConfig

RANK = "LOCAL_RANK"
FOLLOWER_LOG = "follower_{rank}.log"
GRACE_S = 20.0
PR_SET_PDEATHSIG = 1


def build_strategy(plan: TrainerConfig, model: Any) -> Any:
    """Return Lightning's strategy for ``trainer.strategy``."""
    if plan.strategy == "auto":
        return "auto"
    if plan.strategy == "ddp":
        from lightning.pytorch.strategies import DDPStrategy

        backend = "gloo" if plan.accelerator == "cpu" else None
        return DDPStrategy(process_group_backend=backend, find_unused_parameters=False)
    return _sharded(model)


def _sharded(model: Any) -> Any:
    """Return FSDP with one unit a decoder layer.

    Frozen 4-bit weights and the adapter share a unit, which needs the original parameters kept
    (``use_orig_params``) and one element type (see `evqa.models.load.load_base`).
    """
    from lightning.pytorch.strategies import FSDPStrategy

    layer = type(model.get_base_model().get_decoder().layers[0])
    return FSDPStrategy(
        auto_wrap_policy={layer},
        use_orig_params=True,
        state_dict_type="full",
        limit_all_gathers=True,
    )


def is_follower() -> bool:
    """Tell whether this process is one of several devices, and not the first."""
    return int(os.environ.get(RANK, "0")) > 0 or int(os.environ.get("NODE_RANK", "0")) > 0


def starts_followers(plan: TrainerConfig) -> bool:
    """Tell whether this process must start the others (torchrun and Slurm do it themselves)."""
    return plan.devices > 1 and RANK not in os.environ


def free_port() -> int:
    """Return a TCP port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def followers(plan: TrainerConfig, folder: Path) -> Iterator[None]:
    """Run one more process a device while the block runs; they end with it.

    Args:
        plan: How many devices.
        folder: The run folder; each follower logs into ``follower_<rank>.log`` there.
    """
    if not starts_followers(plan):
        yield
        return
    ours = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), RANK: "0"}
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    started = [_start(folder, rank) for rank in range(1, plan.devices)]
    try:
        yield
        for process in started:
            process.wait(GRACE_S)
    finally:
        for process in started:
            if process.poll() is None:
                process.kill()
                process.wait()
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent dies (``man 2 prctl``)."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _start(folder: Path, rank: int) -> "subprocess.Popen[bytes]":
    log = (folder / FOLLOWER_LOG.format(rank=rank)).open("wb")
    with log:
        return subprocess.Popen(  # noqa: S603  our own command
            [sys.executable, "-m", "evqa.follow", str(folder)],
            env={**os.environ, RANK: str(rank)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
