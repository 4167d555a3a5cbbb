"""Reading documents against trafilatura's own command line and plain pypdf; memory as they grow.

usage: python benchmarks/documents.py [--corpus FOLDER] [--skip-memory]

FOLDER holds html/, pdf/ and text/ (default: $EVQA_CORPUS_DIR, else data/sample). Every contender
runs alone in a process of its own on the same files, three times; the least CPU time counts, for
on a busy machine it is the one that says most. Memory: the whole of `evqa.prepare` on 1, 4 and 16
times the corpus as text, each copy with words of its own, so that nothing is a duplicate. Writes
benchmarks/results/documents.json, stamped with the commit.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from evqa.config import project_dir
from evqa.files import write_json
from evqa.provenance import git_commit, package_versions

REPEATS = 3
COPIES = (1, 4, 16)
# Each child tells its peak memory and CPU seconds as the last line of its output.
METER = """
import json, resource, sys
sys.argv = sys.argv[1:]
{body}
kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)  # some readers start processes
used = [resource.getrusage(kind) for kind in kinds]
cpu_s = sum(each.ru_utime + each.ru_stime for each in used)
print(json.dumps({{"cpu_s": cpu_s, "peak_mib": max(each.ru_maxrss for each in used) / 1024}}))
"""
OURS = """
from evqa.config.data import DocumentsConfig, SourcesConfig
from evqa.documents.corpus import digest
from evqa.sources.folder import list_folder
from evqa.sources.read import read_all
import functools
files = list_folder(sys.argv[1], sys.argv[2], "folder")
then = functools.partial(digest, config=DocumentsConfig())
for _ in read_all(files, SourcesConfig(num_workers=1), then):
    pass
"""
TRAFILATURA = """
from trafilatura.cli import main
sys.argv = ["trafilatura", "--input-dir", sys.argv[1], "-o", sys.argv[2], "--parallel", "1"]
main()
"""
PYPDF = """
import pathlib
import pypdf
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.pdf")):
    try:
        for page in pypdf.PdfReader(path).pages:
            page.extract_text()
    except Exception as error:
        print(path.name, type(error).__name__, file=sys.stderr)
"""
PREPARE = """
from evqa.config import load_config
from evqa.prepare import prepare_dataset
prepare_dataset(load_config("prepare", sys.argv[1:]))
"""


def metered(body: str, *arguments: str) -> dict[str, float]:
    """Run Python code alone in a process; return its CPU and wall seconds and peak MiB."""
    started = time.perf_counter()
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", METER.format(body=body), "meter", *arguments],
        capture_output=True,
        text=True,
        check=True,
        cwd=project_dir(),
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(project_dir())},
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return {**found, "wall_s": time.perf_counter() - started}


def speed(body: str, folder: Path, suffix: str, *arguments: str) -> dict[str, float]:
    """Return what one contender does a CPU second, at the best of several runs."""
    files = sorted(folder.glob(f"*.{suffix}"))
    mib = sum(path.stat().st_size for path in files) / 2**20
    best = min((metered(body, str(folder), *arguments) for _ in range(REPEATS)), key=_cpu)
    return {
        "files": len(files),
        "mib": round(mib, 2),
        "cpu_s": round(best["cpu_s"], 2),
        "wall_s": round(best["wall_s"], 2),
        "documents_per_cpu_s": round(len(files) / best["cpu_s"], 2),
        "mib_per_cpu_s": round(mib / best["cpu_s"], 3),
        "peak_mib": round(best["peak_mib"], 1),
    }


def _cpu(found: dict[str, float]) -> float:
    return found["cpu_s"]


def contenders(corpus: Path) -> dict[str, Any]:
    """Return the speed of each reader on the corpus."""
    with tempfile.TemporaryDirectory() as out:
        return {
            "html": {
                "evqa_read_and_clean": speed(OURS, corpus / "html", "html", "html"),
                "trafilatura_cli": speed(TRAFILATURA, corpus / "html", "html", out),
            },
            "pdf": {
                "evqa_read_and_clean": speed(OURS, corpus / "pdf", "pdf", "pdf"),
                "pypdf_plain": speed(PYPDF, corpus / "pdf", "pdf"),
            },
        }


def write_copies(texts: list[str], num: int, folder: Path) -> float:
    """Write every text so many times, each copy with words of its own; return the MiB."""
    written = 0
    for copy in range(num):
        for number, text in enumerate(texts):
            salted = re.sub(r"\b([a-z]{5,})\b", rf"\1{chr(97 + copy)}", text) if copy else text
            written += (folder / f"{copy:02}_{number:03}.txt").write_text(salted)
    return written / 2**20


def memory(corpus: Path) -> list[dict[str, float]]:
    """Return the peak memory of a whole preparation on so many times the corpus."""
    texts = read_texts(corpus)
    rows = []
    for num in COPIES:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "text").mkdir()
            mib = write_copies(texts, num, folder / "text")
            used = metered(
                PREPARE,
                "data=web_pdf",
                f"sources.text.folder={folder / 'text'}",
                f"paths.prepared_dir={folder / 'prepared'}",
                f"paths.outputs_dir={folder / 'outputs'}",
                "sources.num_workers=1",
                "documents.languages=[]",
                "benchmark.path=",
            )
        rows.append(
            {
                "copies": num,
                "documents": num * len(texts),
                "mib_of_text": round(mib, 2),
                "peak_mib": round(used["peak_mib"], 1),
                "cpu_s": round(used["cpu_s"], 1),
            }
        )
    return rows


def read_texts(corpus: Path) -> list[str]:
    """Return the texts of the corpus's documents."""
    from evqa.config.data import SourcesConfig
    from evqa.records import Document
    from evqa.sources.folder import list_folder
    from evqa.sources.read import read_one

    kinds = (("html", "html"), ("pdf", "pdf"), ("text", "text"))
    found = [
        read_one(raw, SourcesConfig())
        for name, kind in kinds
        if (corpus / name).is_dir()
        for raw in list_folder(str(corpus / name), kind, name)
    ]
    return [result.text for result in found if isinstance(result, Document)]


def main() -> None:
    """Run the benchmark and write its figures."""
    default = Path(os.environ.get("EVQA_CORPUS_DIR") or project_dir() / "data" / "sample")
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--corpus", type=Path, default=default)
    parser.add_argument("--skip-memory", action="store_true")
    chosen = parser.parse_args()
    figures = {
        "commit": git_commit(project_dir()),
        "corpus": chosen.corpus.name,
        "versions": package_versions(("trafilatura", "newspaper4k", "pypdf", "datasketch")),
        **contenders(chosen.corpus),
        "memory": [] if chosen.skip_memory else memory(chosen.corpus),
    }
    write_json(project_dir() / "benchmarks" / "results" / "documents.json", figures)
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
