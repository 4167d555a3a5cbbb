"""A hundred promotions under fifty streams: how many requests fail?

usage: python benchmarks/serving_swaps.py [--swaps 100] [--streams 50]

serve.py with a stand-in for vLLM (a word every 50 ms), a registry of three versions, and fifty
clients that stream without pause. A version is promoted; as soon as it answers, the next one is. A
request fails when its status is not 200, or its stream lacks a word or `[DONE]`. Writes
benchmarks/results/serving_swaps.json, stamped with the commit.
"""

import argparse
import asyncio
import contextlib
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

from evqa.config import project_dir
from evqa.files import write_json
from evqa.provenance import git_commit
from evqa.registry import Registry
from evqa.serving.engine import free_port
from evqa.serving.keys import create_key

NUM_VERSIONS = 3
NUM_WORDS = 8
QUESTION = {
    "model": "evqa",
    "messages": [{"role": "user", "content": "x"}],
    "max_tokens": NUM_WORDS,
}


def publish(folder: Path) -> Registry:
    """Register three versions and promote the first."""
    registry = Registry(folder / "registry", "evqa")
    for number in range(NUM_VERSIONS):
        with registry.staging() as staged:
            (staged / "config.json").write_text(
                f'{{"max_position_embeddings": 64, "n": {number}}}'
            )
            registry.publish(staged, {})
    registry.promote(1, force_reason="benchmark")
    return registry


@contextlib.asynccontextmanager
async def served(folder: Path) -> AsyncIterator[aiohttp.ClientSession]:
    """Run serve.py; yield a client of it."""
    key = create_key(folder / "serving" / "keys.json", "benchmark")
    port = free_port()
    engine = shlex.join(
        [sys.executable, str(project_dir() / "tests" / "serving" / "fake_vllm.py")]
    )
    words = [
        sys.executable, str(project_dir() / "serve.py"), f"paths.outputs_dir={folder}",
        f"server.port={port}", "server.device=cpu", f'server.vllm_command="{engine}"',
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(project_dir())}
    with (folder / "serve.log").open("w") as log:
        process = subprocess.Popen(words, stderr=log, env=environment)  # noqa: S603
    try:
        async with aiohttp.ClientSession(
            f"http://127.0.0.1:{port}",
            headers={"authorization": f"Bearer {key}"},
            connector=aiohttp.TCPConnector(limit=0),
        ) as session:
            while not await answers(session):
                await asyncio.sleep(0.1)
            yield session
    finally:
        process.terminate()
        process.wait(60)


async def answers(session: aiohttp.ClientSession) -> bool:
    """Tell whether the server is ready."""
    try:
        async with session.get("/ready") as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False


async def stream(session: aiohttp.ClientSession) -> str | None:
    """Ask once; return what was wrong, null for nothing."""
    try:
        async with session.post(
            "/v1/chat/completions", json={**QUESTION, "stream": True}
        ) as response:
            text = await response.text()
    except aiohttp.ClientError as error:
        return repr(error)
    whole = text.count('"content"') == NUM_WORDS and text.endswith("data: [DONE]\n\n")
    return None if response.status == 200 and whole else f"{response.status} {text[-200:]}"


async def version(session: aiohttp.ClientSession) -> str:
    """Return the version that answers new requests."""
    async with session.get("/ready") as response:
        return str((await response.json())["version"])


async def measure(folder: Path, num_swaps: int, num_streams: int) -> dict[str, Any]:
    """Promote again and again under load; return the counts."""
    registry = publish(folder)
    failures: list[str] = []
    num_requests = 0
    stopping = asyncio.Event()

    async def run(session: aiohttp.ClientSession) -> None:
        """Stream without pause."""
        nonlocal num_requests
        while not stopping.is_set():
            problem = await stream(session)
            num_requests += 1
            if problem:
                failures.append(problem)

    async with served(folder) as session:
        started = time.monotonic()
        clients = [asyncio.create_task(run(session)) for _ in range(num_streams)]
        for number in range(num_swaps):
            wanted = (number + 1) % NUM_VERSIONS + 1
            await asyncio.to_thread(registry.promote, wanted, force_reason="benchmark")
            while await version(session) != f"evqa/{wanted}":
                await asyncio.sleep(0.05)
        stopping.set()
        await asyncio.gather(*clients)
        seconds = time.monotonic() - started
    return {
        "num_swaps": num_swaps,
        "num_streams": num_streams,
        "num_requests": num_requests,
        "num_failed": len(failures),
        "failures": failures[:5],
        "seconds": round(seconds, 1),
    }


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--swaps", type=int, default=100)
    parser.add_argument("--streams", type=int, default=50)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        result = asyncio.run(measure(Path(scratch), options.swaps, options.streams))
    result["commit"] = git_commit(project_dir())
    sys.stdout.write(f"{result}\n")
    write_json(Path(__file__).parent / "results" / "serving_swaps.json", result)


if __name__ == "__main__":
    main()
