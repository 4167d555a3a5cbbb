"""``evqa registry``: versions and their aliases."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evqa.commands.options import OutputsDir, outputs_folder

if TYPE_CHECKING:
    from evqa.registry import Aliases, Registry

app = typer.Typer(no_args_is_help=True, help="Registered versions and their aliases.")
Reference = Annotated[str, typer.Argument(help="NAME/VERSION; the version may be an alias.")]
Folder = Annotated[
    Path | None, typer.Option(help="Registry folder (default: <outputs>/registry).")
]


def _folder(registry_dir: Path | None, outputs_dir: Path | None) -> Path:
    return registry_dir or outputs_folder(outputs_dir) / "registry"


def _open(reference: str, folder: Path) -> "tuple[Registry, int]":
    from evqa.registry import Registry, parse_reference

    name, version = parse_reference(reference)
    registry = Registry(folder, name)
    return registry, registry.resolve(version)


def _print_aliases(name: str, aliases: "Aliases") -> None:
    typer.echo(", ".join(f"{alias}: {v}" for alias, v in asdict(aliases).items() if v) or name)


@app.command("list")
def list_versions(registry_dir: Folder = None, outputs_dir: OutputsDir = None) -> None:
    """List every version with its aliases."""
    from evqa.registry import Registry
    from evqa.registry.store import registered_names

    folder = _folder(registry_dir, outputs_dir)
    for name in registered_names(folder):
        registry = Registry(folder, name)
        aliases = asdict(registry.aliases())
        for version in registry.versions():
            marks = ", ".join(alias for alias, target in aliases.items() if target == version)
            created = registry.manifest(version).created
            typer.echo(f"{name}/{version}  {created}  {marks}".rstrip())


@app.command()
def show(
    reference: Reference, registry_dir: Folder = None, outputs_dir: OutputsDir = None
) -> None:
    """Print a version's manifest as JSON."""
    registry, version = _open(reference, _folder(registry_dir, outputs_dir))
    typer.echo(json.dumps(asdict(registry.manifest(version)), indent=2, ensure_ascii=False))


@app.command()
def verify(
    reference: Reference, registry_dir: Folder = None, outputs_dir: OutputsDir = None
) -> None:
    """Hash every file of a version again; exit 4 when one is not as it was registered."""
    registry, version = _open(reference, _folder(registry_dir, outputs_dir))
    registry.verify(version)
    typer.echo(f"{registry.name}/{version}: every file is as it was registered")


@app.command()
def promote(
    reference: Reference, registry_dir: Folder = None, outputs_dir: OutputsDir = None
) -> None:
    """Make a version the champion, which serve.py serves."""
    registry, version = _open(reference, _folder(registry_dir, outputs_dir))
    _print_aliases(registry.name, registry.promote(version))


@app.command()
def rollback(
    name: Annotated[str, typer.Argument(help="Registered name.")] = "evqa",
    registry_dir: Folder = None,
    outputs_dir: OutputsDir = None,
) -> None:
    """Make the previous champion the champion again."""
    from evqa.registry import Registry

    registry = Registry(_folder(registry_dir, outputs_dir), name)
    _print_aliases(name, registry.rollback())
