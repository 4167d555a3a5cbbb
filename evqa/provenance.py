"""What is needed to run it again: commit, versions, seed, command line, machine, hashes.

``manifest.json`` of a run is written before anything else happens in the run folder and again,
with ``finished`` true, as its last act.
"""

import hashlib
import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evqa.files import read_json, sha256_file, sha256_json, write_json

PACKAGES = (
    "torch", "transformers", "tokenizers", "peft", "bitsandbytes", "lightning", "datasets",
    "accelerate", "hydra-core", "omegaconf", "numpy", "newspaper4k", "trafilatura", "pypdf",
    "evaluate", "sacrebleu", "rouge-score", "aim", "optuna",
)  # fmt: skip
INSTRUCTION_SETS = ("amx_tile", "avx512_bf16", "avx512f", "avx2", "sse4_2")
WEIGHT_SUFFIXES = (".safetensors", ".bin")


def git_commit(folder: Path) -> str | None:
    """Return the commit of a checkout, with ``-dirty`` when it has uncommitted changes."""
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        found = subprocess.run(  # noqa: S603  fixed arguments
            [*command, "--exclude=*"], capture_output=True, text=True, check=False, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None


def package_versions(names: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Return the installed versions; packages that are absent are left out."""
    versions = {"python": platform.python_version()}
    for name in names:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def instruction_sets() -> list[str]:
    """Return the CPU's vector extensions that change how floating point rounds, widest first."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("flags", 1)[-1]
    except OSError:
        return [platform.machine()]
    words = set(flags.partition("\n")[0].split())
    return [name for name in INSTRUCTION_SETS if name in words] or [platform.machine()]


def weights_sha256(folder: Path) -> str:
    """Return one SHA-256 over the names and contents of a model folder's weight files."""
    digest = hashlib.sha256()
    for file in sorted(p for p in folder.iterdir() if p.suffix in WEIGHT_SUFFIXES):
        digest.update(f"{file.name}\0{sha256_file(file)}\n".encode())
    return digest.hexdigest()


def code_sha256(*names: str) -> str:
    """Return one SHA-256 over parts of this package: folders with all their code, or files.

    Args:
        names: Such as ``training`` or ``records.py``.
    """
    package = Path(__file__).parent
    files: list[Path] = []
    for name in names:
        place = package / name
        files += [place] if place.is_file() else sorted(place.rglob("*.py"))
    return sha256_json([[f.relative_to(package).as_posix(), sha256_file(f)] for f in files])


def now() -> str:
    """Return the current time in UTC (ISO 8601, seconds)."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def new_manifest(job: str, config: dict[str, Any], checkout: Path) -> dict[str, Any]:
    """Return the manifest of a run that starts now."""
    return {
        "job": job,
        "finished": False,
        "created": now(),
        "git_commit": git_commit(checkout),
        "versions": package_versions(),
        "seed": config["seed"],
        "command": shlex.join([Path(sys.executable).name, *sys.argv]),
        "config": config,
        "machine": {
            "system": platform.platform(),
            "cpus": os.cpu_count(),
            "instruction_sets": instruction_sets(),
        },
    }


def update_manifest(folder: Path, **values: Any) -> dict[str, Any]:
    """Add values to the ``manifest.json`` of a run folder, atomically, and return it."""
    path = folder / "manifest.json"
    manifest: dict[str, Any] = {**read_json(path), **values}
    write_json(path, manifest)
    return manifest
