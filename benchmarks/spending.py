"""A paid generation killed with SIGKILL again and again against a server that misbehaves.

usage: python benchmarks/spending.py [--chunks 500] [--kills 20]

The server (tests/fake_api.py) delays, refuses, fails after billing, cuts and truncates answers,
lies about usage, hangs and trickles; it keeps the true bill. One process asks it about so many
chunks and is killed at random moments so many times, rerun each time, then once more to the end.
Its bill must stay below the ceiling, and no answer in the journal may be bought again. Writes
benchmarks/results/spending.json, stamped with the commit.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from evqa.config import project_dir
from evqa.files import write_json
from evqa.ledger import Ledger
from evqa.provenance import git_commit
from evqa.qa.spending import JOURNAL, Journal

BUDGET_USD = 6.0
KEY = "EVQA_BENCHMARK_KEY"


def generate(port: int, num_chunks: int, folder: Path) -> None:
    """Ask about every chunk, as `evqa.prepare` does; the body of the process that is killed."""
    from evqa.config.data import PairGenerator, QAConfig
    from evqa.qa.generate import generate_together

    config = QAConfig(
        generator=PairGenerator.together,
        model="m",
        base_url=f"http://127.0.0.1:{port}",
        api_key_env=KEY,
        budget_usd=BUDGET_USD,
        usd_per_million_prompt_tokens=1.0,
        usd_per_million_completion_tokens=1.0,
        max_completion_tokens=300,
        request_timeout_s=1.0,
        max_retries=8,
        categories=["charging_speed"],
    )
    ledger = Ledger()
    found = list(generate_together(passages(num_chunks), config, folder, ledger))
    ledger.check()
    sys.stdout.write(f"{len(found)}\n")


def passages(num: int) -> list[Any]:
    """Return so many short chunks, each with a number of its own."""
    from evqa.qa.candidate import Passage
    from evqa.records import Chunk, Document

    made = []
    for number in range(num):
        text = (
            f"The charger number {number} delivers {number + 3} kW to the battery of the car. "
            "It stands beside the road and is open by day and by night for everybody who comes."
        )
        document = Document(
            id=f"doc_{number}", source=f"{number}.html", kind="html", title="Chargers", text=text,
            language="en", authors=[], published=None, fetched=None, license=None, sha256="",
            pages=[], cluster_id=f"c{number}", split="train",
        )  # fmt: skip
        chunk = Chunk(
            id=f"chunk_{number}", document_id=document.id, start=0, end=len(text), text=text,
            headings=[], page=None, num_words=len(text.split()),
        )  # fmt: skip
        made.append(Passage(chunk=chunk, document=document))
    return made


def child(port: int, chosen: argparse.Namespace, folder: Path) -> "subprocess.Popen[str]":
    """Start the process that asks."""
    words = [sys.executable, __file__, "--child", str(port), str(folder)]
    return subprocess.Popen(  # noqa: S603
        [*words, "--chunks", str(chosen.chunks)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, KEY: "secret", "OMP_NUM_THREADS": "1"},
    )


def bill(port: int) -> dict[str, int]:
    """Return what the server billed."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/bill") as reply:
        return dict(json.load(reply))


def journal_of(folder: Path) -> tuple[int, float]:
    """Return how many answers the journal holds, and what it counts as spent, in dollars."""
    path = folder / JOURNAL
    if not path.is_file():
        return 0, 0.0
    with Journal(folder, BUDGET_USD) as journal:
        entries = path.read_text().splitlines()
        bought = {json.loads(e)["key"] for e in entries if json.loads(e).get("answer")}
        return len(bought), journal.charged_usd


def bought_twice(folder: Path) -> int:
    """Return how many requests were settled with an answer more than once."""
    keys = [
        entry["key"]
        for entry in map(json.loads, (folder / JOURNAL).read_text().splitlines())
        if entry.get("answer")
    ]
    return len(keys) - len(set(keys))


def series(port: int, chosen: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Kill and rerun; return the figures."""
    draw = random.Random(11)  # noqa: S311  no secret
    rows = []
    for _ in range(chosen.kills):
        process = child(port, chosen, folder)
        time.sleep(draw.uniform(1.5, 4.5))
        is_killed = process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        num_bought, charged_usd = journal_of(folder)
        rows.append(
            {
                "killed": is_killed,
                "answers_in_journal": num_bought,
                "charged_usd": round(charged_usd, 6),
                "billed_usd": round(bill(port)["billed_micro_usd"] / 1e6, 6),
            }
        )
    process = child(port, chosen, folder)
    out, errors = process.communicate()
    num_bought, charged_usd = journal_of(folder)
    billed_usd = bill(port)["billed_micro_usd"] / 1e6
    return {
        "budget_usd": BUDGET_USD,
        "billed_usd": billed_usd,
        "charged_usd": charged_usd,
        "never_above_budget": max([billed_usd, charged_usd, *(r["charged_usd"] for r in rows)])
        <= BUDGET_USD,
        "never_billed_more_than_charged": billed_usd <= charged_usd
        and all(row["billed_usd"] <= row["charged_usd"] for row in rows),
        "journalled_answers_bought_again": bought_twice(folder),
        "completed": process.returncode == 0,
        "pairs": int(out) if process.returncode == 0 else errors[-300:],
        "answers_in_journal": num_bought,
        "requests": bill(port)["requests"],
        "after_each_kill": rows,
    }


def main() -> int:
    """Run the series and write its figures; 1 when the ceiling or a promise is broken."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--chunks", type=int, default=500)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--child", nargs=2, metavar=("PORT", "FOLDER"))
    chosen = parser.parse_args()
    if chosen.child:
        generate(int(chosen.child[0]), chosen.chunks, Path(chosen.child[1]))
        return 0
    script = project_dir() / "tests" / "fake_api.py"
    server = subprocess.Popen(  # noqa: S603
        [sys.executable, str(script), "3"], stdout=subprocess.PIPE, text=True
    )
    try:
        port = int(server.stdout.readline())  # type: ignore[union-attr]
        with tempfile.TemporaryDirectory() as name:
            figures = series(port, chosen, Path(name))
    finally:
        server.kill()
        server.wait()
    figures = {"commit": git_commit(project_dir()), "chunks": chosen.chunks, **figures}
    write_json(project_dir() / "benchmarks" / "results" / "spending.json", figures)
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")
    held = ("never_above_budget", "never_billed_more_than_charged", "completed")
    is_good = all(figures[name] for name in held)
    return 0 if is_good and figures["journalled_answers_bought_again"] == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
