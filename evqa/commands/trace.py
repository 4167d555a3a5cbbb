"""``evqa trace``: where a served answer comes from."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from evqa.commands.options import OutputsDir, outputs_folder
from evqa.errors import GateError, UserError

STDIN = "-"


def trace(
    request_id: Annotated[str, typer.Argument(help="The x-request-id of the reply.")],
    answer: Annotated[
        str | None, typer.Option(help="File with the answer's text (- for standard input).")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page to this file too.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
    num_nearest: Annotated[int, typer.Option(min=1, max=50, help="Training pairs to show.")] = 3,
    registry_dir: Annotated[
        Path | None, typer.Option(help="Registry folder (default: <outputs>/registry).")
    ] = None,
    outputs_dir: OutputsDir = None,
) -> None:
    """Follow an answer to its version, run, nearest training pairs, documents and licences.

    Raises:
        UserError: no such request, or no such file.
        GateError: something in the chain is not as it was recorded.
    """
    from evqa.config import project_dir
    from evqa.files import write_text
    from evqa.lineage import render
    from evqa.lineage.trace import trace as follow

    outputs = outputs_folder(outputs_dir)
    found = follow(
        outputs,
        registry_dir or outputs / "registry",
        project_dir(),
        request_id,
        _read(answer),
        num_nearest,
    )
    if html is not None:
        write_text(html, render.as_html(found))
    if as_json:
        typer.echo(json.dumps(render.as_json(found), ensure_ascii=False, indent=2))
    else:
        typer.echo(render.as_text(found), nl=False)
    if found.problems:
        raise GateError(f"the chain is broken: {'; '.join(found.problems)}")


def _read(answer: str | None) -> str | None:
    if answer is None:
        return None
    if answer == STDIN:
        return sys.stdin.read()
    path = Path(answer)
    if not path.is_file():
        raise UserError(f"--answer: no such file: {path}")
    return path.read_text(encoding="utf-8")
