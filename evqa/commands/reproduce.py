"""``evqa reproduce``: make a run or version again from its manifest, and compare the hashes."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evqa.commands.options import OutputsDir, outputs_folder
from evqa.errors import GateError

if TYPE_CHECKING:
    from evqa.lineage.reproduce import Reproduction

MARKS = {True: "same", False: "DIFFERS", None: "made"}


def reproduce(
    reference: Annotated[
        str, typer.Argument(help="A run (latest, a name, a folder) or a version (NAME/VERSION).")
    ] = "latest",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
    registry_dir: Annotated[
        Path | None, typer.Option(help="Registry folder (default: <outputs>/registry).")
    ] = None,
    outputs_dir: OutputsDir = None,
) -> None:
    """Rebuild data, base, adapter and merge; exit 4 when a hash is not the recorded one.

    On the same kind of processor, with the same versions and code, every hash is the same. Where
    those differ it is said, and the adapter is compared by its numbers too.

    Raises:
        GateError: something is not as it was recorded.
    """
    from evqa.config.run_job import quiet_libraries
    from evqa.reproduce import recorded
    from evqa.reproduce import reproduce as make_again

    quiet_libraries()
    outputs = outputs_folder(outputs_dir)
    was = recorded(outputs, registry_dir or outputs / "registry", reference)
    done = make_again(was, outputs)
    if as_json:
        rows = [{**asdict(one), "same": one.same} for one in done.compared]
        told = {"compared": rows, "differences": done.differences, "tolerance": done.tolerance}
        typer.echo(json.dumps(told, indent=2))
    else:
        _print(done)
    if done.failed:
        why = f" (not as it was: {'; '.join(done.differences)})" if done.differences else ""
        raise GateError(f"{reference}: not reproduced: {', '.join(done.failed)}{why}")


def _print(done: "Reproduction") -> None:
    for line in done.differences:
        typer.echo(f"not as it was: {line}")
    for one in done.compared:
        typer.echo(f"{MARKS[one.same]:<8} {one.name:<40} {(one.made or 'nothing')[:16]}")
    if done.tolerance:
        typer.echo(f"adapter: {done.tolerance}")
