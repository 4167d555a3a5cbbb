"""The questions that parity is proved on."""

import json
from pathlib import Path
from typing import Any

from evqa.config.serving import ParityConfig
from evqa.errors import UserError


def parity_questions(parity: ParityConfig, manifest: dict[str, Any]) -> list[str]:
    """Return the questions that parity is proved on.

    Raises:
        UserError: when neither the config, the run's benchmark nor its dataset has any.
    """
    wanted = parity.questions
    if wanted and not Path(wanted).is_file():
        raise UserError(f"export.parity.questions: no such file: {wanted}")
    benchmark = ((manifest.get("config") or {}).get("benchmark") or {}).get("path")
    dataset = (manifest.get("dataset") or {}).get("folder")
    files = [wanted, benchmark, dataset and str(Path(dataset) / "pairs.jsonl")]
    for file in filter(None, files):
        questions = _read_questions(Path(file), parity.num_questions)
        if questions:
            return questions
    raise UserError(
        "export.parity.questions: must be set, the run's benchmark and dataset are gone "
        f"({benchmark}, {dataset})"
    )


def _read_questions(file: Path, count: int) -> list[str]:
    if not file.is_file():
        return []
    questions: list[str] = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        if line.strip() and len(questions) < count:
            questions.append(_question(file, number, line))
    return questions


def _question(file: Path, number: int, line: str) -> str:
    try:
        return str(json.loads(line)["question"])
    except (ValueError, TypeError, KeyError):
        raise UserError(f"{file}:{number}: expected an object with a `question`") from None
