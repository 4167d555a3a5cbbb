"""Print a random sample of a dataset's pairs, to be read one by one.

``python -m evqa.qa.sample FOLDER [--num 50] [--seed 1] [--generator extractive]``: FOLDER is a
prepared dataset. The same seed gives the same pairs.
"""

import argparse
import random
import sys
from collections.abc import Sequence
from pathlib import Path

from evqa.errors import EvqaError, UserError
from evqa.records import QAPair, read_jsonl


def draw(folder: Path, num: int, seed: int, generator: str | None) -> list[QAPair]:
    """Return so many pairs of a dataset, drawn without replacement.

    Raises:
        UserError: when the folder holds no pairs.
    """
    path = folder / "pairs.jsonl"
    if not path.is_file():
        raise UserError(f"{path}: no such file; give the folder of a prepared dataset")
    pairs = [p for p in read_jsonl(path, QAPair) if generator in (None, p.generator)]
    if not pairs:
        raise UserError(f"{path}: no pair of generator={generator}")
    return random.Random(seed).sample(pairs, min(num, len(pairs)))  # noqa: S311  no secret


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the sample; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m evqa.qa.sample", description=str(__doc__).splitlines()[0]
    )
    parser.add_argument("folder", type=Path, help="a prepared dataset")
    parser.add_argument("--num", type=int, default=50, help="how many pairs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--generator", help="only pairs of this generator")
    chosen = parser.parse_args(arguments)
    try:
        pairs = draw(chosen.folder, chosen.num, chosen.seed, chosen.generator)
    except EvqaError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    for number, pair in enumerate(pairs, start=1):
        template = pair.provenance.get("template", pair.generator)
        sys.stdout.write(f"{number}. [{pair.id} {template}]\n   Q: {pair.question}\n")
        sys.stdout.write(f"   A: {pair.answer}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
