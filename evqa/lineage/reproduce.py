"""What a reproduction must give again: the recorded hashes, compared one by one."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evqa.files import read_json, sha256_file, sha256_json
from evqa.provenance import instruction_sets, package_versions

DATASET_FILES = ("documents.jsonl", "chunks.jsonl", "pairs.jsonl")
ADAPTER = "adapter_model.safetensors"
NOT_COMPARED = ("README.md",)  # the model card names the run's folder


@dataclass(frozen=True, slots=True)
class Compared:
    """One artefact: the hash recorded and the hash made; null where it is not known."""

    name: str
    recorded: str | None
    made: str | None

    @property
    def same(self) -> bool | None:
        """Whether both are the same; null when nothing was recorded."""
        return None if self.recorded is None else self.recorded == self.made


@dataclass(slots=True)
class Reproduction:
    """What came of rebuilding.

    Attributes:
        compared: Every artefact, in the order in which it is made.
        differences: What is not as it was: processor, versions, code; in words.
        tolerance: How far the adapter's numbers are apart, where its hash differs.
    """

    compared: list[Compared] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    tolerance: str | None = None

    @property
    def failed(self) -> list[str]:
        """The artefacts whose hash is another one."""
        return [one.name for one in self.compared if one.same is False]


def surroundings(manifest: dict[str, Any], commit: str | None) -> list[str]:
    """Return in words what is not as it was when the run was made.

    Floating point rounds differently on other processors and in other versions, so another hash
    is then no proof of another recipe.

    Args:
        manifest: Of the run.
        commit: The checkout's commit now.
    """
    told = []
    machine = manifest.get("machine") or {}
    recorded = machine.get("instruction_sets")
    if recorded is not None and recorded != instruction_sets():
        told.append(f"the processor: {', '.join(recorded)} then, {', '.join(instruction_sets())}")
    now = package_versions()
    for name, version in (manifest.get("versions") or {}).items():
        if now.get(name) != version:
            told.append(f"{name}: {version} then, {now.get(name) or 'not installed'} now")
    if manifest.get("git_commit") != commit:
        told.append(f"the code: commit {manifest.get('git_commit')} then, {commit} now")
    return told


def compare_dataset(recorded: dict[str, Any], made: Path) -> list[Compared]:
    """Compare a dataset's files by the recorded manifest, or as a whole where that is gone.

    Args:
        recorded: ``dataset`` of the run's manifest.
        made: The folder made now.
    """
    folder = Path(recorded.get("folder") or "")
    manifest = folder / "manifest.json"
    new = read_json(made / "manifest.json")
    if not manifest.is_file() or sha256_json(read_json(manifest)) != recorded.get("sha256"):
        return [Compared("dataset", recorded.get("sha256"), sha256_json(new))]
    hashes = read_json(manifest).get("sha256") or {}
    return [
        Compared(name.removesuffix(".jsonl"), hashes.get(name), sha256_file(made / name))
        for name in DATASET_FILES
    ]


def compare_version(files: dict[str, dict[str, Any]], made: Path) -> list[Compared]:
    """Compare every file of a version, but the model card, with those made now."""
    return [
        Compared(
            f"version/{name}",
            entry["sha256"],
            sha256_file(made / name) if (made / name).is_file() else None,
        )
        for name, entry in sorted(files.items())
        if name not in NOT_COMPARED
    ]
