"""``evqa registry``: versions and their aliases."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evqa.commands.options import OutputsDir, outputs_folder
from evqa.errors import UserError

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
    reference: Reference,
    force: Annotated[
        bool, typer.Option("--force", help="Promote without parity or SHIP verdict.")
    ] = False,
    reason: Annotated[str | None, typer.Option(help="Why, with --force; it is recorded.")] = None,
    registry_dir: Folder = None,
    outputs_dir: OutputsDir = None,
) -> None:
    """Make a version the champion, which serve.py serves; it needs parity and a SHIP verdict."""
    if force != bool(reason and reason.strip()):
        raise UserError("--force and --reason '...' belong together: the reason is recorded")
    registry, version = _open(reference, _folder(registry_dir, outputs_dir))
    _print_aliases(registry.name, registry.promote(version, force_reason=reason))


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


@app.command()
def history(
    name: Annotated[str, typer.Argument(help="Registered name.")] = "evqa",
    registry_dir: Folder = None,
    outputs_dir: OutputsDir = None,
) -> None:
    """List every change of the champion, and why where it was forced."""
    from evqa.registry import Registry

    for entry in Registry(_folder(registry_dir, outputs_dir), name).history():
        why = f"  forced ({entry['lacks']}): {entry['reason']}" if entry.get("reason") else ""
        typer.echo(f"{entry['time']}  {entry['action']}  {name}/{entry['version']}{why}")


@app.command()
def gc(
    name: Annotated[str, typer.Argument(help="Registered name.")] = "evqa",
    keep: Annotated[int, typer.Option(help="Newest versions that stay in any case.")] = 3,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    registry_dir: Folder = None,
    outputs_dir: OutputsDir = None,
) -> None:
    """Remove old versions that no alias names, and what killed releases left behind."""
    from evqa.registry import Registry
    from evqa.registry.maintenance import collect_garbage

    registry = Registry(_folder(registry_dir, outputs_dir), name)
    for removed in collect_garbage(registry, keep, dry_run=dry_run):
        typer.echo(f"{'would remove' if dry_run else 'removed'} {removed}")


@app.command()
def diff(
    one: Reference,
    other: Annotated[str, typer.Argument(help="NAME/VERSION to compare it with.")],
    registry_dir: Folder = None,
    outputs_dir: OutputsDir = None,
) -> None:
    """Show what differs between two versions: config, data, figures, files."""
    from evqa.registry.maintenance import differences

    folder = _folder(registry_dir, outputs_dir)
    (left, first), (right, second) = _open(one, folder), _open(other, folder)
    for what, before, after in differences(left.manifest(first), right.manifest(second)):
        typer.echo(f"{what}: {_short(before)} -> {_short(after)}")


def _short(value: object) -> str:
    return "none" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


@app.command()
def push(
    reference: Reference,
    hub: Annotated[str | None, typer.Option(help="Hugging Face repository, user/name.")] = None,
    mlflow: Annotated[str | None, typer.Option(help="MLflow tracking server.")] = None,
    registry_dir: Folder = None,
    outputs_dir: OutputsDir = None,
) -> None:
    """Copy a version to the Hugging Face hub, or enter it in MLflow's model registry."""
    from evqa.config.serving import RegistryConfig
    from evqa.delivery import push as deliver

    if not (hub or mlflow):
        raise UserError("say where to: --hub user/name or --mlflow URI")
    registry, version = _open(reference, _folder(registry_dir, outputs_dir))
    registry.verify(version)
    deliver(RegistryConfig(push_to_hub=hub, mlflow_uri=mlflow), registry, version)
    typer.echo(f"pushed {registry.name}/{version}")
