"""The documentation is true: its commands exist, its links lead somewhere, its reference is fresh."""

import dataclasses
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from documented_commands import dry, runnable

from evqa.config.keys import walk
from evqa.config.reference import reference
from evqa.config.register import JOBS

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("data/**/*.md")])
BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<reason>.+?) -->\n)?^```bash\n(?P<code>.*?)^```", re.M | re.S
)


def commands():
    """Every distinct command of the pages beside the README, which has a test of its own."""
    seen = set()
    for page in PAGES:
        if page.name == "README.md" and page.parent == ROOT:
            continue
        for block in BLOCK.finditer(page.read_text(encoding="utf-8")):
            if block["reason"]:
                continue
            for line in block["code"].replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if words and tuple(words) not in seen:
                    seen.add(tuple(words))
                    yield pytest.param(words, id=f"{page.stem}: {' '.join(words)}"[:100])


@pytest.mark.parametrize("words", list(commands()))
def test_the_command_exists(words):
    runnable_now = runnable(words)
    if runnable_now is not None:
        runnable_now()
        return
    done = subprocess.run(
        dry(words), cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not target.startswith(("http://", "https://", "mailto:", "#")):
            path = page.parent / target.partition("#")[0]
            assert path.exists(), f"{target} of {page.name} leads nowhere"


def test_the_reference_is_what_the_configs_say():
    page = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    assert page == reference(), "run: python -m evqa.config.reference"


@pytest.mark.parametrize("name", JOBS)
def test_every_key_is_documented(name):
    for key, hint, field in walk(JOBS[name]):
        if not dataclasses.is_dataclass(hint):
            assert len(str(field.metadata.get("doc", ""))) >= 4, key


def test_the_migration_table_names_keys_that_exist():
    text = (ROOT / "docs" / "migration.md").read_text(encoding="utf-8")
    known = {key for schema in JOBS.values() for key, _, _ in walk(schema)}
    for key in re.findall(r"`([a-z_]+(?:\.[a-z_]+)+)(?:=[^`]*)?`", text):
        assert key in known, key


def test_nothing_names_a_machines_path():
    """Where this checkout lies must not stand in its pages, wherever that is."""
    for page in PAGES:
        assert f"{ROOT}/" not in page.read_text(encoding="utf-8"), page.name
