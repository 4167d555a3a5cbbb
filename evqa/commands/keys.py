"""``evqa keys``: API keys of the server. Changes reach a running server within two seconds."""

from pathlib import Path
from typing import Annotated

import typer

from evqa.commands.options import OutputsDir, outputs_folder

app = typer.Typer(no_args_is_help=True, help="API keys of the server.")
Name = Annotated[str, typer.Argument(help="Who the key is for.")]
KeysFile = Annotated[
    Path | None, typer.Option(help="Keys file (default: <outputs>/serving/keys.json).")
]


def _keys_path(keys_file: Path | None, outputs_dir: Path | None) -> Path:
    return keys_file or outputs_folder(outputs_dir) / "serving" / "keys.json"


@app.command()
def create(name: Name, keys_file: KeysFile = None, outputs_dir: OutputsDir = None) -> None:
    """Make a key and print it once, alone on the last line."""
    from evqa.serving.keys import create_key

    path = _keys_path(keys_file, outputs_dir)
    plain = create_key(path, name)
    typer.echo(f"key {name!r} added to {path}; it cannot be shown again", err=True)
    typer.echo(plain)


@app.command("list")
def list_keys(keys_file: KeysFile = None, outputs_dir: OutputsDir = None) -> None:
    """List the keys, without what they are."""
    from evqa.serving.keys import read_keys

    for key in read_keys(_keys_path(keys_file, outputs_dir)):
        state = f"revoked {key.revoked}" if key.revoked else "good"
        typer.echo(f"{key.id}  {key.name:<24}  created {key.created}  {state}")


@app.command()
def revoke(name: Name, keys_file: KeysFile = None, outputs_dir: OutputsDir = None) -> None:
    """Revoke a key by its name or id."""
    from evqa.serving.keys import revoke_key

    key = revoke_key(_keys_path(keys_file, outputs_dir), name)
    typer.echo(f"revoked key {key.name!r} ({key.id})")
