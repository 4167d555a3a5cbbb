"""Check a file of questions or pairs, ours or anybody's, before it is trusted.

``python -m evqa.qa.audit FILE [--train PAIRS]`` names duplicates, missing answers, placeholders,
imbalance and what of it stands in the training pairs, and exits 4 when it finds any. It reads JSON
Lines or a JSON list: benchmark questions, question/answer, prompt/completion or messages.
"""

import argparse
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evqa.config.data import QAConfig
from evqa.errors import EvqaError, GateError, UserError
from evqa.qa.imported import question_and_answer
from evqa.qa.leaks.contamination import BenchmarkIndex
from evqa.qa.normal import normalised
from evqa.qa.validate import is_placeholder
from evqa.records import QAPair, Question

# A category or difficulty may have this many times the questions of the smallest.
MAX_IMBALANCE = 1.5
MIN_FOR_BALANCE = 20  # fewer questions are not asked to be balanced
MAX_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Item:
    """A question of a file, with its answer ("" when it has none) and the line or place."""

    place: int
    question: str
    answer: str
    row: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of thing that is wrong, how often, and examples."""

    kind: str
    count: int
    examples: list[str]

    def __str__(self) -> str:
        shown = "; ".join(self.examples[:MAX_EXAMPLES])
        return f"{self.kind}: {self.count} ({shown})"


def read_items(path: Path) -> list[Item]:
    """Return the questions of a file.

    Raises:
        UserError: when the file is missing, or holds no questions.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    rows = enumerate(_rows(path), start=1)
    items = [_item(path, place, one) for place, row in rows for one in _wordings(row)]
    if not items:
        raise UserError(f"{path}: holds no questions")
    return items


def _rows(path: Path) -> Iterator[Any]:
    text = path.read_text(encoding="utf-8-sig")
    if text.lstrip().startswith("["):
        try:
            yield from json.loads(text)
        except json.JSONDecodeError as error:
            raise UserError(f"{path}:{error.lineno}: not JSON ({error.msg})") from None
        return
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                yield json.loads(line)
            except json.JSONDecodeError as error:
                raise UserError(f"{path}:{number}: not JSON ({error.msg})") from None


def _wordings(row: Any) -> Iterator[Any]:
    """Yield a row for each wording of a shipped pair; other rows as they are."""
    wordings = row.get("questions") if isinstance(row, dict) else None
    if isinstance(wordings, list):
        yield from ({**row, "question": wording} for wording in wordings)
    else:
        yield row


def _item(path: Path, place: int, row: Any) -> Item:
    found = question_and_answer(row) if isinstance(row, dict) else None
    question = row.get("question") if isinstance(row, dict) else None
    if found is None and not isinstance(question, str):
        raise UserError(f"{path}: entry {place}: holds no question")
    asked, answer = found or (str(question), "")
    return Item(place, " ".join(asked.split()), " ".join(answer.split()), row)


def audit(items: Sequence[Item], training: Sequence[Item] = ()) -> list[Finding]:
    """Return what is wrong with questions, the worst first.

    Args:
        items: Of the file that is checked.
        training: Pairs that a model is trained on, which must not say what the file says.
    """
    found = [
        _missing_answers(items),
        _duplicates(items),
        _repeated_answers(items),
        _placeholders(items),
        _imbalance(items, "category"),
        _imbalance(items, "difficulty"),
        *(_in_training(items, training) if training else ()),
    ]
    return [finding for finding in found if finding.count]


def _missing_answers(items: Sequence[Item]) -> Finding:
    missing = [item.question for item in items if not item.answer]
    return Finding("missing answers", len(missing), missing)


def _duplicates(items: Sequence[Item]) -> Finding:
    counts = Counter(normalised(item.question) for item in items)
    repeated = [f"{n} times {question!r}" for question, n in counts.most_common() if n > 1]
    return Finding("duplicate questions", len(items) - len(counts), repeated)


def _repeated_answers(items: Sequence[Item]) -> Finding:
    """Different questions with one and the same long answer: it cannot answer all of them."""
    asked: dict[str, set[str]] = defaultdict(set)
    for item in items:
        if len(item.answer.split()) >= 12:
            asked[normalised(item.answer)].add(normalised(item.question))
    repeated = {answer: questions for answer, questions in asked.items() if len(questions) > 1}
    examples = [f"{len(q)} questions are answered {a[:60]!r}" for a, q in repeated.items()]
    return Finding("one answer for different questions", len(repeated), examples)


def _placeholders(items: Sequence[Item]) -> Finding:
    found = [
        item.question
        for item in items
        if is_placeholder(item.question) or (item.answer and is_placeholder(item.answer))
    ]
    return Finding("placeholders", len(found), found)


def _imbalance(items: Sequence[Item], name: str) -> Finding:
    counts = Counter(str(item.row[name]) for item in items if item.row.get(name))
    if len(items) < MIN_FOR_BALANCE or len(counts) < 2:
        return Finding(f"imbalance of {name}", 0, [])
    largest, smallest = max(counts.values()), min(counts.values())
    is_even = largest <= MAX_IMBALANCE * smallest
    spelled = ", ".join(f"{value} {count}" for value, count in counts.most_common())
    return Finding(f"imbalance of {name}", 0 if is_even else largest - smallest, [spelled])


def _in_training(items: Sequence[Item], training: Sequence[Item]) -> Iterator[Finding]:
    index = BenchmarkIndex([_as_question(item) for item in items], QAConfig().overlap_likeness)
    kinds: dict[str, dict[str, str]] = defaultdict(dict)
    for item in training:
        overlap = index.overlap(_as_pair(item))
        if overlap:
            kind = "answers" if "answer" in overlap.kind.split("_")[-1] else "questions"
            kinds[kind][overlap.question.id] = (
                f"{overlap.question.question!r} is trained as {item.question!r}"
            )
    for kind in ("questions", "answers"):
        examples = list(kinds[kind].values())
        yield Finding(f"{kind} in the training pairs", len(examples), examples)


def _as_question(item: Item) -> Question:
    return Question(
        id=f"entry {item.place}",
        question=item.question,
        answer=item.answer,
        alternatives=[],
        key_facts=[str(fact) for fact in item.row.get("key_facts") or []],
        category="",
        difficulty="",
        split="held_out",
        source="",
        as_of=None,
    )


def _as_pair(item: Item) -> QAPair:
    return QAPair(
        id=f"entry {item.place}",
        question=item.question,
        answer=item.answer,
        quote=None,
        quote_start=None,
        quote_end=None,
        chunk_id=None,
        document_id=None,
        category="",
        difficulty="",
        split="train",
        generator="imported",
        provenance={"line": item.place},
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the findings; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m evqa.qa.audit", description=str(__doc__).splitlines()[0]
    )
    parser.add_argument("file", type=Path, help="questions or pairs: JSON Lines or a JSON list")
    parser.add_argument("--train", type=Path, help="pairs that a model is trained on")
    chosen = parser.parse_args(arguments)
    try:
        items = read_items(chosen.file)
        findings = audit(items, read_items(chosen.train) if chosen.train else ())
        sys.stdout.write("".join(f"{finding}\n" for finding in findings))
        if findings:
            kinds = ", ".join(finding.kind for finding in findings)
            raise GateError(f"{chosen.file}: {kinds}")
    except EvqaError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    sys.stdout.write(f"{chosen.file}: {len(items)} questions, nothing wrong\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
