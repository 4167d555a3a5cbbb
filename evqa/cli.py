"""The ``evqa`` command. Each group of subcommands is a module in `evqa.commands`."""

import sys

import typer

from evqa.commands import ask, keys, registry, reproduce, trace, usage
from evqa.errors import EvqaError, from_os_error

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="From documents to a served assistant."
)
app.command("ask")(ask.ask)
app.command("trace")(trace.trace)
app.command("reproduce")(reproduce.reproduce)
app.command("usage")(usage.usage)
app.add_typer(keys.app, name="keys")
app.add_typer(registry.app, name="registry")


def main() -> None:
    """Run the command line; an error is one line on stderr and its exit code."""
    try:
        app()
    except EvqaError as error:
        _fail(error)
    except OSError as error:
        _fail(from_os_error(error))


def _fail(error: EvqaError) -> None:
    sys.stdout.flush()
    sys.stderr.write(f"error: {' '.join(str(error).split())}\n")
    sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
