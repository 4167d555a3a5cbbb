"""What a release does beyond merging: asks the engine, converts for llama.cpp, pushes."""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evqa.config import ReleaseConfig, project_dir
from evqa.config.serving import ExportConfig, Gguf, RegistryConfig, WhenServed
from evqa.errors import OutsideError, UserError
from evqa.export.parity import Observation, ParityReport, check_parity, compare

if TYPE_CHECKING:
    from evqa.registry import Registry

CONVERTER = "convert_hf_to_gguf.py"
ENGINE_DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}
DRAIN_S = 5.0


def check_before(config: ReleaseConfig) -> None:
    """Refuse what could not be done at the end, before anything is merged.

    Raises:
        UserError: no converter, no MLflow, no token for the hub.
        OutsideError: no engine, where parity must be proved behind one.
    """
    if config.export.gguf is not Gguf.none:
        find_converter(config.export)
    if config.export.served is WhenServed.always:
        from evqa.serving.engine import find_vllm

        find_vllm(config.server, project_dir())
    check_push(config.registry)


def check_push(registry: RegistryConfig) -> None:
    """Refuse a push that cannot work.

    Raises:
        UserError: naming the package to install or the variable to set.
    """
    if registry.mlflow_uri and importlib.util.find_spec("mlflow") is None:
        raise UserError(
            f"registry.mlflow_uri={registry.mlflow_uri}: the package mlflow is not installed; "
            "pip install mlflow"
        )
    if registry.push_to_hub and not os.environ.get("HF_TOKEN"):
        raise UserError(
            f"registry.push_to_hub={registry.push_to_hub}: set the environment variable HF_TOKEN "
            "to a token that may write there"
        )


def prove_served(
    config: ReleaseConfig, folder: Path, observed: Sequence[Observation]
) -> ParityReport | None:
    """Start the engine on a version's folder and ask it what the adapter was asked.

    Returns:
        How near it is; null where no engine is installed (``export.served=auto``) or none is
        wanted.

    Raises:
        GateError: it says something else.
        OutsideError: with ``export.served=always``, when the engine does not start.
    """
    if config.export.served is WhenServed.never:
        return None
    try:
        report = _ask_engine(config, folder, observed)
    except OutsideError as error:
        if config.export.served is WhenServed.always:
            raise
        sys.stderr.write(f"warning: parity behind the engine was not measured: {error}\n")
        return None
    check_parity(report, config.export.served_parity, "export.served_parity")
    return report


def _ask_engine(
    config: ReleaseConfig, folder: Path, observed: Sequence[Observation]
) -> ParityReport:
    from evqa.export.served import ServedGenerator
    from evqa.serving.engine import EngineProcess, find_vllm, vllm_engine

    program = find_vllm(config.server, project_dir())
    dtype = config.server.dtype
    if dtype == "auto":
        dtype = ENGINE_DTYPES[config.export.dtype]
    command = vllm_engine(replace(config.server, dtype=dtype), program, folder)
    log = Path(config.paths.outputs_dir) / "cache" / "release_engine.log"
    engine = EngineProcess(command, log, folder)
    engine.start()
    try:
        engine.wait_until_ready(config.server.start_timeout_s, sys.stderr)
        served = ServedGenerator(command.url, command.key, config.server.model_name, observed)
        return compare(observed, served)
    finally:
        engine.stop(DRAIN_S)


def find_converter(export: ExportConfig) -> str:
    """Return llama.cpp's converter.

    Raises:
        UserError: it is not where it is said to be.
    """
    wanted = export.gguf_converter
    found = wanted if wanted and Path(wanted).is_file() else shutil.which(wanted or CONVERTER)
    if found is None:
        raise UserError(
            f"export.gguf={export.gguf}: {wanted or CONVERTER} is not there; clone llama.cpp, "
            "install its requirements, and set export.gguf_converter=.../convert_hf_to_gguf.py"
        )
    return found


def write_gguf(export: ExportConfig, folder: Path) -> None:
    """Let llama.cpp's converter write ``model-<type>.gguf`` into a version's folder.

    Raises:
        OutsideError: the converter failed; its last line says why.
    """
    if export.gguf is Gguf.none:
        return
    target = folder / f"model-{export.gguf}.gguf"
    command = [sys.executable, find_converter(export), str(folder), "--outfile", str(target),
               "--outtype", str(export.gguf)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode or not target.is_file():
        lines = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing"]
        raise OutsideError(f"export.gguf={export.gguf}: the converter failed: {lines[-1]}")


def push(config: RegistryConfig, registry: "Registry", version: int) -> None:
    """Copy a registered version to the hub and enter it in MLflow's registry, as configured.

    Raises:
        OutsideError: it is registered here, but could not be pushed; says how to try again.
    """
    check_push(config)
    again = f"it is registered here; try again: evqa registry push {registry.name}/{version}"
    if config.push_to_hub:
        try:
            _to_hub(config.push_to_hub, registry, version)
        except Exception as error:  # noqa: BLE001  the hub's client raises httpx's errors too
            raise OutsideError(f"{config.push_to_hub}: {_line(error)}; {again}") from None
    if config.mlflow_uri:
        try:
            _to_mlflow(config.mlflow_uri, registry, version)
        except Exception as error:  # noqa: BLE001  so does MLflow's
            raise OutsideError(f"{config.mlflow_uri}: {_line(error)}; {again}") from None


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _to_hub(repository: str, registry: "Registry", version: int) -> None:
    from huggingface_hub import HfApi

    api = HfApi(token=os.environ["HF_TOKEN"])
    api.create_repo(repository, private=True, exist_ok=True)
    api.upload_folder(
        repo_id=repository,
        folder_path=registry.folder(version),
        commit_message=f"{registry.name}/{version}",
    )


def _to_mlflow(uri: str, registry: "Registry", version: int) -> None:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    client: Any = MlflowClient(tracking_uri=uri, registry_uri=uri)
    try:
        client.create_registered_model(registry.name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    lineage = registry.manifest(version).lineage
    tags = {
        "evqa_version": f"{registry.name}/{version}",
        "verdict": str(lineage.get("verdict")),
        "git_commit": str(lineage.get("git_commit")),
        "dataset": str((lineage.get("dataset") or {}).get("id")),
    }
    source = registry.folder(version).resolve().as_uri()
    client.create_model_version(registry.name, source=source, tags=tags)
