"""The links of a trace: each names an artefact, and says whether it is as it was."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evqa.errors import EvqaError
from evqa.files import sha256_file


@dataclass(frozen=True, slots=True)
class Link:
    """One step of the chain.

    Attributes:
        name: What kind of thing it is: request, version, run, …
        what: Which one.
        problem: What is wrong with it; null when every hash is as recorded.
        note: What could not be checked, and why.
    """

    name: str
    what: str
    problem: str | None = None
    note: str | None = None


@dataclass(slots=True)
class Chain:
    """The links so far, first the request."""

    links: list[Link] = field(default_factory=list)

    def add(
        self, name: str, what: str, problem: str | None = None, note: str | None = None
    ) -> bool:
        """Append a link; return whether it is whole."""
        self.links.append(Link(name, what, problem, note))
        return problem is None

    def read(self, name: str, what: str, read: Callable[[], Any]) -> Any:
        """Return what ``read`` returns; a file that cannot be read is a broken link and null."""
        try:
            return read()
        except (EvqaError, OSError, ValueError, KeyError, TypeError) as error:
            self.add(name, what, f"cannot be read: {' '.join(str(error).split())}")
            return None

    @property
    def problems(self) -> list[str]:
        """One line for each broken link."""
        return [f"{link.name} {link.what}: {link.problem}" for link in self.links if link.problem]


def hash_problem(path: Path, recorded: str | None) -> str | None:
    """Return what is wrong with a file whose hash was recorded; null when nothing is."""
    if not path.is_file():
        return f"{path} is gone"
    if recorded is None:
        return f"no hash of {path.name} was recorded"
    return None if sha256_file(path) == recorded else f"{path}: content has changed"
