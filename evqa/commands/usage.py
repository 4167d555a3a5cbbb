"""``evqa usage``: who used how many tokens, from the journal that the server keeps."""

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evqa.commands.options import OutputsDir, outputs_folder
from evqa.errors import UserError

if TYPE_CHECKING:
    from evqa.serving.usage import UsageLine


class By(StrEnum):
    """What usage is added up by."""

    key = "key"
    day = "day"
    version = "version"
    route = "route"


@dataclass(slots=True)
class Sum:
    """What was used.

    Attributes:
        num_errors: Requests that ended with a status of 400 or more.
    """

    num_requests: int = 0
    num_errors: int = 0
    num_prompt_tokens: int = 0
    num_completion_tokens: int = 0

    def add(self, line: "UsageLine") -> None:
        """Take in one request."""
        self.num_requests += 1
        self.num_errors += line.status >= 400
        self.num_prompt_tokens += line.num_prompt_tokens
        self.num_completion_tokens += line.num_completion_tokens


def usage(
    month: Annotated[
        str | None, typer.Option(help="YYYY-MM, or all (default: the current month, UTC).")
    ] = None,
    by: Annotated[By, typer.Option(help="What to add up by.")] = By.key,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
    keys_file: Annotated[
        Path | None, typer.Option(help="Keys file (default: <outputs>/serving/keys.json).")
    ] = None,
    outputs_dir: OutputsDir = None,
) -> None:
    """Add up requests and tokens."""
    from evqa.serving.keys import read_keys
    from evqa.serving.limits import this_month
    from evqa.serving.usage import read_usage, usage_months

    serving = outputs_folder(outputs_dir) / "serving"
    folder = serving / "usage"
    known = usage_months(folder)
    months = known if month == "all" else [month or this_month()]
    if month not in (None, "all", *known):
        raise UserError(f"--month: nothing of {month} (months: {', '.join(known) or 'none yet'})")
    names = {key.id: key.name for key in read_keys(keys_file or serving / "keys.json")}
    sums: dict[str, Sum] = {}
    for one in months:
        for line in read_usage(folder, one):
            sums.setdefault(_group(line, by, names), Sum()).add(line)
    if as_json:
        typer.echo(json.dumps({name: asdict(sums[name]) for name in sorted(sums)}, indent=2))
    else:
        typer.echo(_table(by, sums), nl=False)


def _group(line: "UsageLine", by: By, names: dict[str, str]) -> str:
    if by is By.key:
        return f"{names.get(line.key_id, '?')} ({line.key_id})"
    return {By.day: line.time[:10], By.version: line.version, By.route: line.route}[by]


def _table(by: By, sums: dict[str, Sum]) -> str:
    width = max([len(by), *map(len, sums)], default=0)
    rows = [f"{by:<{width}}  requests  errors  prompt tokens  completion tokens"]
    for name in sorted(sums):
        used = sums[name]
        rows.append(
            f"{name:<{width}}  {used.num_requests:>8}  {used.num_errors:>6}  "
            f"{used.num_prompt_tokens:>13}  {used.num_completion_tokens:>17}"
        )
    return "\n".join(rows) + "\n"
