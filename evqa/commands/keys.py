"""``evqa keys``: API keys of the server. Changes reach a running server within two seconds."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from evqa.commands.options import OutputsDir, outputs_folder
from evqa.errors import UserError

app = typer.Typer(no_args_is_help=True, help="API keys of the server.")
UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
Name = Annotated[str, typer.Argument(help="Who the key is for.")]
Limit = Annotated[int | None, typer.Option(min=1)]
KeysFile = Annotated[
    Path | None, typer.Option(help="Keys file (default: <outputs>/serving/keys.json).")
]


def _keys_path(keys_file: Path | None, outputs_dir: Path | None) -> Path:
    return keys_file or outputs_folder(outputs_dir) / "serving" / "keys.json"


def _duration(text: str) -> timedelta:
    found = re.fullmatch(r"(\d{1,5})([mhdw])", text)
    if found is None:
        raise UserError(
            f"{text!r} is not a duration; write a number and m, h, d or w, such as 90d"
        )
    return timedelta(**{UNITS[found[2]]: int(found[1])})


def _expiry(text: str | None) -> str | None:
    """Return when a key ends: a duration from now, or a date."""
    if text is None:
        return None
    if re.fullmatch(r"\d{4}-.*", text):
        try:
            end = datetime.fromisoformat(text)
        except ValueError:
            raise UserError(f"--expires: {text!r} is no date; write 2027-01-31, or 90d") from None
        end = end if end.tzinfo else end.replace(tzinfo=UTC)
    else:
        end = datetime.now(UTC) + _duration(text)
    if end <= datetime.now(UTC):
        raise UserError(f"--expires: {text} has passed")
    return end.astimezone(UTC).isoformat(timespec="seconds")


@app.command()
def create(  # noqa: PLR0913  typer: an option is an argument
    name: Name,
    owner: Annotated[str | None, typer.Option(help="Who answers for it.")] = None,
    expires: Annotated[str | None, typer.Option(help="90d, 12h or 2027-01-31.")] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="Model it may ask; again for more (default: all).")
    ] = None,
    route: Annotated[
        list[str] | None,
        typer.Option(help="Path it may use; again for more (default: all but /metrics)."),
    ] = None,
    requests_per_minute: Limit = None,
    tokens_per_minute: Limit = None,
    max_concurrent: Annotated[int | None, typer.Option(min=1, help="Requests at once.")] = None,
    monthly_tokens: Annotated[
        int | None, typer.Option(min=1, help="Tokens in a calendar month (UTC).")
    ] = None,
    keys_file: KeysFile = None,
    outputs_dir: OutputsDir = None,
) -> None:
    """Make a key and print it once, alone on the last line. What is not limited is free."""
    from evqa.serving.keys import create_key

    path = _keys_path(keys_file, outputs_dir)
    plain = create_key(
        path,
        name,
        owner=owner,
        expires=_expiry(expires),
        models=model or None,
        routes=route or None,
        requests_per_minute=requests_per_minute,
        tokens_per_minute=tokens_per_minute,
        max_concurrent=max_concurrent,
        monthly_tokens=monthly_tokens,
    )
    typer.echo(f"key {name!r} added to {path}; it cannot be shown again", err=True)
    typer.echo(plain)


@app.command("list")
def list_keys(
    keys_file: KeysFile = None,
    outputs_dir: OutputsDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """List the keys with what they may do, without what they are."""
    from evqa.serving.keys import describe, read_keys

    now = datetime.now(UTC)
    keys = read_keys(_keys_path(keys_file, outputs_dir))
    if as_json:
        rows = [describe(key) | {"state": key.state(now)} for key in keys]
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    for key in keys:
        about = describe(key)
        basic = {"id", "name", "created", "revoked", "expires"}
        granted = "  ".join(
            f"{field}={_short(v)}" for field, v in about.items() if field not in basic
        )
        line = f"{key.id}  {key.name:<24}  created {key.created}  {granted}"
        typer.echo(f"{line.rstrip()}  {key.state(now)}")


def _short(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


@app.command()
def revoke(name: Name, keys_file: KeysFile = None, outputs_dir: OutputsDir = None) -> None:
    """Revoke a key by its name or id."""
    from evqa.serving.keys import revoke_key

    key = revoke_key(_keys_path(keys_file, outputs_dir), name)
    typer.echo(f"revoked key {key.name!r} ({key.id})")


@app.command()
def rotate(
    name: Name,
    grace: Annotated[
        str, typer.Option(help="How long the old one is still good: 0m, 24h, 7d.")
    ] = "0m",
    keys_file: KeysFile = None,
    outputs_dir: OutputsDir = None,
) -> None:
    """Give a key a new secret and print it once, alone on the last line; its limits stay."""
    from evqa.serving.keys import rotate_key

    path = _keys_path(keys_file, outputs_dir)
    plain = rotate_key(path, name, _duration(grace))
    typer.echo(f"key {name!r} has a new secret; the old one ends in {grace}", err=True)
    typer.echo(plain)
