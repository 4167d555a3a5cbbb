"""Rebuilding data, adapter and merge from a manifest, and comparing them with what it records.

Everything is made anew in a scratch folder, the embedded base included; only what came from
outside (fetched pages, answers of a paid API, downloaded models) is taken from the caches.
"""

import dataclasses
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from evqa.config import TrainConfig, from_dict, project_dir
from evqa.config.model import QuantizationConfig
from evqa.config.serving import ExportConfig, ExportQuantization
from evqa.config.training import LoggerKind
from evqa.errors import UserError
from evqa.files import sha256_file, write_json
from evqa.lineage.reproduce import (
    ADAPTER,
    Compared,
    Reproduction,
    compare_dataset,
    compare_version,
    surroundings,
)
from evqa.provenance import git_commit
from evqa.registry import Registry
from evqa.registry.store import parse_reference
from evqa.runs import find_run, read_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

CACHES = ("http", "llm")  # in <outputs>/cache: what came from outside
TOLERANCE = 1e-2  # of the adapter's norm, where processor or versions differ


@dataclass(frozen=True, slots=True)
class Recorded:
    """What is to be made again.

    Attributes:
        manifest: A run's manifest, or the same keys of a version's lineage.
        adapter_sha256: The adapter's hash, where it is known.
        adapter: The adapter's folder, where it is here.
        files: A version's files; empty for a run.
        label: Which base weights a version was merged into, and how it was quantised.
    """

    manifest: dict[str, Any]
    adapter_sha256: str | None
    adapter: Path | None
    files: dict[str, dict[str, Any]]
    label: str


def recorded(outputs_dir: Path, registry_dir: Path, reference: str) -> Recorded:
    """Read what a run or a version (NAME/VERSION) records.

    Raises:
        UserError: neither a run nor a version.
    """
    if "/" in reference and not Path(reference).is_dir():
        name, wanted = parse_reference(reference)
        registry = Registry(registry_dir, name)
        manifest = registry.manifest(registry.resolve(wanted))
        lineage = manifest.lineage
        run = Path(lineage.get("run") or "")
        return Recorded(
            manifest=_machine_of(run, lineage),
            adapter_sha256=lineage.get("adapter_sha256"),
            adapter=_adapter(run),
            files=manifest.files,
            label=(lineage.get("parity") or {}).get("weights") or "trained",
        )
    run = find_run(outputs_dir, reference)
    adapter = _adapter(run)
    digest = sha256_file(adapter / ADAPTER) if adapter else None
    return Recorded(read_manifest(run), digest, adapter, {}, "")


def _machine_of(run: Path, lineage: dict[str, Any]) -> dict[str, Any]:
    """Add what the run's own manifest says of the machine, where the run is still here."""
    manifest = read_manifest(run) if (run / "manifest.json").is_file() else {}
    return {**{key: manifest.get(key) for key in ("machine", "versions")}, **lineage}


def _adapter(run: Path) -> Path | None:
    return run / "adapter" if (run / "adapter" / ADAPTER).is_file() else None


def reproduce(was: Recorded, outputs_dir: Path) -> Reproduction:
    """Make data, base, adapter and merge again, and compare each with what was recorded.

    Raises:
        UserError: the manifest has no config, or an input is gone.
        OutsideError: something outside is not to be had any more.
    """
    if not was.manifest.get("config"):
        raise UserError("nothing to reproduce: the manifest has no config")
    done = Reproduction(differences=surroundings(was.manifest, git_commit(project_dir())))
    with _scratch(outputs_dir) as root:
        config = _in_scratch(from_dict(TrainConfig, was.manifest["config"]), root)
        adapter = _train_again(config, was, root, done)
        if was.files:
            done.compared += compare_version(was.files, _merge_again(was, adapter, root))
    return done


@contextmanager
def _scratch(outputs_dir: Path) -> "Iterator[Path]":
    outputs_dir.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".reproduce-", dir=outputs_dir) as name:
        root = Path(name)
        (root / "outputs" / "cache").mkdir(parents=True)
        for cache in CACHES:
            if (outputs_dir / "cache" / cache).is_dir():
                link = root / "outputs" / "cache" / cache
                link.symlink_to((outputs_dir / "cache" / cache).absolute())
        yield root


def _in_scratch(config: TrainConfig, root: Path) -> TrainConfig:
    paths = dataclasses.replace(
        config.paths, outputs_dir=str(root / "outputs"), prepared_dir=str(root / "prepared")
    )
    logger = dataclasses.replace(config.logger, kind=LoggerKind.none)
    return dataclasses.replace(config, paths=paths, logger=logger, resume=None)


def _train_again(config: TrainConfig, was: Recorded, root: Path, done: Reproduction) -> Path:
    from evqa import stages

    _say("making the dataset")
    prepared = stages.dataset(config)
    done.compared += compare_dataset(was.manifest.get("dataset") or {}, prepared.folder)
    _say("making the base")
    base = stages.base(config, prepared)
    recorded_base = (was.manifest.get("base") or {}).get("sha256")
    done.compared.append(Compared("base", recorded_base, base.sha256))
    folder = root / "run"
    folder.mkdir()
    write_json(folder / "manifest.json", {"config": was.manifest["config"]})
    _say("training the adapter")
    stages.follow_training(config, folder)
    made = folder / "adapter"
    done.compared.append(Compared("adapter", was.adapter_sha256, sha256_file(made / ADAPTER)))
    if "adapter" in done.failed and was.adapter is not None:
        done.tolerance = distance(was.adapter / ADAPTER, made / ADAPTER)
    return made


def distance(one: Path, other: Path) -> str:
    """Tell how far the numbers of two adapters are apart, relative to their size."""
    import torch
    from safetensors.torch import load_file

    left, right = load_file(one), load_file(other)
    if left.keys() != right.keys():
        return "the adapters have other tensors"
    apart = sum(float((left[k].double() - right[k].double()).square().sum()) for k in left)
    size = sum(float(left[k].double().square().sum()) for k in left)
    relative = float(torch.tensor(apart / max(size, 1e-30)).sqrt())
    verdict = "within" if relative <= TOLERANCE else "beyond"
    return f"relative distance {relative:.2e}, {verdict} the tolerance of {TOLERANCE:g}"


def _merge_again(was: Recorded, adapter: Path, root: Path) -> Path:
    from evqa.export.merge import merge_adapter
    from evqa.export.quantize import quantize_checkpoint

    export = from_dict(ExportConfig, was.manifest.get("export") or {})
    weights = was.label.partition(",")[0].strip()
    quantization = from_dict(QuantizationConfig, was.manifest["config"]["quantization"])
    folder = root / "merged"
    folder.mkdir()
    _say(f"merging ({was.label})")
    base = str((was.manifest.get("base") or {})["path"])
    nf4 = quantization if weights == "trained" else None
    merge_adapter(base, adapter, folder, export.dtype, export.max_shard_gib, nf4)
    if export.quantization is ExportQuantization.none:
        return folder
    rounded = root / "quantised"
    rounded.mkdir()
    quantize_checkpoint(folder, rounded, export.quantization, export.max_shard_gib)
    return rounded


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
