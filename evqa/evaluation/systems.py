"""The systems that can be compared: named by words of the config, opened when their turn comes.

``base`` and ``tuned`` share one loaded model, as any adapter and its base do: the adapter is
toggled, so base and fine-tuned model are compared on the same weights in the same memory.
"""

import contextlib
import gc
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from evqa.config import EvaluateConfig, from_dict
from evqa.config.evaluation import GenerationConfig
from evqa.errors import UserError
from evqa.evaluation.comparison import BASE, TUNED
from evqa.evaluation.predict import Answerer
from evqa.files import sha256_bytes, sha256_file
from evqa.registry import Registry
from evqa.registry.store import parse_reference
from evqa.runs import find_run, read_manifest

KINDS = "base, tuned, run:NAME, version:NAME/VERSION, endpoint:URL, endpoint:MODEL@URL"


@dataclass(frozen=True, slots=True)
class System:
    """One system of a comparison.

    Attributes:
        name: As written in ``systems=``, and so in reports.
        where: What holds it: a run's folder, a version's folder, a URL. Systems of one place
            share what is loaded.
        with_adapter: Whether a run's adapter is switched on.
        model: Name of an endpoint's model; null for its first.
        fingerprint: Hash of what it answers with; another one is another system.
    """

    name: str
    where: str
    fingerprint: str
    with_adapter: bool = True
    model: str | None = None

    @property
    def is_endpoint(self) -> bool:
        """Whether it is asked over HTTP."""
        return self.where.startswith(("http://", "https://"))


@dataclass(frozen=True, slots=True)
class Opened:
    """A system that answers, and how long its loading took."""

    system: System
    answerer: Answerer
    load_s: float


def find_systems(config: EvaluateConfig) -> list[System]:
    """Return what ``systems=`` names; nothing is loaded.

    Raises:
        UserError: an unknown word, no such run or version.
    """
    return [_find(config, word) for word in config.systems]


def _find(config: EvaluateConfig, word: str) -> System:
    kind, _, rest = word.partition(":")
    if word in (BASE, TUNED):
        return _of_run(config, word, config.run, with_adapter=word == TUNED)
    if kind == "run" and rest:
        return _of_run(config, word, rest, with_adapter=True)
    if kind == "version" and rest:
        return _of_version(config, word, rest)
    if kind == "endpoint" and rest:
        model, _, url = rest.rpartition("@")
        if not url.startswith(("http://", "https://")):
            raise UserError(f"systems: {word}: expected endpoint:URL or endpoint:MODEL@URL")
        return System(word, url.rstrip("/"), sha256_bytes(word.encode()), model=model or None)
    raise UserError(f"systems: {word!r} is not a system; allowed: {KINDS}")


def _of_run(config: EvaluateConfig, word: str, run: str, *, with_adapter: bool) -> System:
    folder = find_run(Path(config.paths.outputs_dir), run)
    weights = read_manifest(folder).get("base", {}).get("sha256") or ""
    adapter = folder / "adapter" / "adapter_model.safetensors"
    if with_adapter:
        if not adapter.is_file():
            raise UserError(f"systems: {word}: {folder} holds no adapter (it was not kept)")
        weights += sha256_file(adapter)
    return System(word, str(folder), sha256_bytes(weights.encode()), with_adapter)


def _of_version(config: EvaluateConfig, word: str, reference: str) -> System:
    root = Path(config.registry.folder or Path(config.paths.outputs_dir) / "registry")
    name, wanted = parse_reference(reference)
    registry = Registry(root, name)
    folder = registry.folder(registry.resolve(wanted))
    return System(word, str(folder), sha256_file(folder / "manifest.json"))


def together(systems: Sequence[System]) -> list[list[System]]:
    """Return the systems by what holds them, in order: each list shares what is loaded."""
    places: dict[str, list[System]] = {}
    for system in systems:
        places.setdefault(system.where, []).append(system)
    return list(places.values())


@contextlib.contextmanager
def opened(config: EvaluateConfig, systems: Sequence[System]) -> Iterator[list[Opened]]:
    """Load systems that share a place, ready to answer; let go of them afterwards.

    Raises:
        UserError: weights are gone, a key is refused.
        OutsideError: an endpoint does not answer.
    """
    started = time.perf_counter()
    answerers: list[Answerer] = list(_open(config, systems))
    seconds = time.perf_counter() - started
    try:
        yield [
            Opened(system, answerer, seconds)
            for system, answerer in zip(systems, answerers, strict=True)
        ]
    finally:
        del answerers
        gc.collect()  # peft models hold reference cycles; two loaded models would not fit


def _open(config: EvaluateConfig, systems: Sequence[System]) -> Iterator[Answerer]:
    first = systems[0]
    if first.is_endpoint:
        yield from (_endpoint(config, system) for system in systems)
    elif first.name.startswith("version:"):
        yield from _version(config, systems)
    else:
        yield from _run_systems(config, systems)


def _endpoint(config: EvaluateConfig, system: System) -> Answerer:
    from evqa.evaluation.endpoint import EndpointAnswerer

    return EndpointAnswerer(
        system.name, system.where, system.model, config.endpoint, config.generation
    )


def _run_systems(config: EvaluateConfig, systems: Sequence[System]) -> Iterator[Answerer]:
    from evqa.evaluation.local import LocalAnswerer
    from evqa.models.tuned import load_tuned

    run = Path(systems[0].where)
    tuned = load_tuned(run, read_manifest(run))
    for system in systems:
        toggle = contextlib.nullcontext if system.with_adapter else tuned.model.disable_adapter
        yield LocalAnswerer(system.name, tuned.model, tuned.tokenizer, config.generation, toggle)


def _version(config: EvaluateConfig, systems: Sequence[System]) -> Iterator[Answerer]:
    from evqa.evaluation.local import LocalAnswerer
    from evqa.models.load import load_tokenizer, pick_device
    from evqa.models.merged import load_model

    folder = Path(systems[0].where)
    model = load_model(str(folder), device=str(pick_device("auto")))
    tokenizer = load_tokenizer(folder)
    for system in systems:
        yield LocalAnswerer(system.name, model, tokenizer, config.generation)


def settled(config: EvaluateConfig, systems: Sequence[System]) -> EvaluateConfig:
    """Return the config with the length and batch of answers set, the same for all systems.

    Where evaluate.py is told nothing, answers are made as after the training of the first run
    among the systems; with no run among them, by the defaults.
    """
    runs = [s for s in systems if not s.is_endpoint and not s.name.startswith("version:")]
    recorded = read_manifest(Path(runs[0].where)).get("config", {}) if runs else {}
    own = from_dict(GenerationConfig, recorded.get("generation", {}))
    generation = replace(
        config.generation,
        max_new_tokens=config.generation.max_new_tokens or own.max_new_tokens,
        batch_size=config.generation.batch_size or own.batch_size,
    )
    return replace(config, generation=generation)
