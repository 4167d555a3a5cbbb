"""The shipped corpus, its training pairs and the benchmark keep what their cards promise."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from records_for_tests import pair as trained

from evqa.config.data import QAConfig
from evqa.config.evaluation import LeakPolicy
from evqa.qa.leaks.contamination import BenchmarkIndex, is_allowed
from evqa.records import Question

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "data" / "sample"
BENCHMARK = ROOT / "data" / "benchmark" / "ev_charging.jsonl"
CATEGORIES = {"charging_speed", "connector_types", "installation", "pricing", "availability"}
DIFFICULTIES = {"easy", "medium", "hard"}
NEAR_EQUAL_JACCARD = 0.8
NEAR_DUPLICATE_JACCARD = 0.3


@cache
def sources() -> dict[str, tuple[dict[str, str], str]]:
    """File name of the built document → (front matter, body of the source)."""
    found = {}
    for path in sorted((SAMPLE / "source").glob("*.md")):
        _, front, body = path.read_text(encoding="utf-8").split("---\n", 2)
        meta = dict(line.split(": ", 1) for line in front.splitlines())
        found[f"{path.stem}.{meta['kind']}"] = (meta, body)
    return found


def read_jsonl(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@cache
def pairs() -> list[dict]:
    return read_jsonl(SAMPLE / "pairs.jsonl")


@cache
def questions() -> list[dict]:
    return read_jsonl(BENCHMARK)


def held_out() -> set[str]:
    return {name for name, (meta, _) in sources().items() if meta.get("split") == "held_out"}


def plain(text: str) -> str:
    """Markdown without its marks, on one line."""
    text = re.sub(r"^(## |- )", "", text.replace("**", ""), flags=re.MULTILINE)
    return " ".join(text.split())


def numbers(text: str) -> set[str]:
    return set(re.findall(r"\d[\d,./]*\d|\d", text))


def words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"[\w.,%€$£/²°-]+", text.lower().rstrip("?. ")))


def jaccard(left: frozenset, right: frozenset) -> float:
    return len(left & right) / len(left | right)


def holds(text: str, key: str) -> bool:
    """Whether a text contains a key fact, not merely as a part of a longer number or word."""
    return re.search(rf"(?<![\w.,]){re.escape(key)}(?!\w)", text, re.IGNORECASE) is not None


# The documents


def test_documents_are_many_long_and_varied():
    metas = [meta for meta, _ in sources().values()]
    kinds = Counter(meta["kind"] for meta in metas)
    assert len(metas) >= 44
    assert kinds["pdf"] >= 14
    assert sum(len(body.split()) for _, body in sources().values()) >= 25_000
    assert len({meta["layout"] for meta in metas if meta["kind"] == "html"}) >= 3
    assert len({meta["layout"] for meta in metas if meta["kind"] == "pdf"}) >= 4


def test_categories_are_even():
    counts = Counter(meta["category"] for meta, _ in sources().values())
    assert set(counts) == CATEGORIES
    assert max(counts.values()) - min(counts.values()) <= 2


def test_front_matter_is_complete_and_addresses_are_unique():
    metas = [meta for meta, _ in sources().values()]
    for meta in metas:
        assert meta["license"] in {"CC-BY-4.0", "CC0-1.0"}
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", meta["published"])
        assert meta["canonical"].startswith("https://evcharging.example/")
    assert len({meta["canonical"] for meta in metas}) == len(metas)
    assert len({meta["title"] for meta in metas}) == len(metas)


def test_every_source_is_built():
    for name, (meta, _) in sources().items():
        assert (SAMPLE / meta["kind"] / name).stat().st_size > 1000


def test_no_two_documents_are_near_duplicates():
    shingles = {}
    for name, (_, body) in sources().items():
        tokens = re.findall(r"\w+", body.lower())
        shingles[name] = frozenset(zip(*(tokens[i:] for i in range(8)), strict=False))
    for (left, a), (right, b) in itertools.combinations(shingles.items(), 2):
        assert jaccard(a, b) < NEAR_DUPLICATE_JACCARD, (left, right)


def test_the_corpus_stays_small():
    assert sum(p.stat().st_size for p in SAMPLE.rglob("*") if p.is_file()) < 3 * 2**20


# The build


def run_build(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SAMPLE / "build.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_rebuild_is_byte_identical():
    result = run_build("--check")
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("damage", ["changed", "missing", "left over"])
def test_check_names_what_differs(tmp_path, damage):
    for name in ("html", "pdf", "manifest.json"):
        origin, copy = SAMPLE / name, tmp_path / name
        shutil.copytree(origin, copy) if origin.is_dir() else shutil.copy(origin, copy)
    victim = tmp_path / "html" / "charging-in-winter.html"
    if damage == "changed":
        victim.write_bytes(victim.read_bytes().replace(b"36%", b"37%"))
    elif damage == "missing":
        victim.unlink()
    else:
        victim = victim.rename(victim.with_name("forgotten.html"))
    result = run_build("--check", "--folder", str(tmp_path))
    assert result.returncode == 1
    assert victim.name in result.stderr


# The training pairs


def test_pairs_are_enough_and_complete():
    assert len(pairs()) >= 220
    for pair in pairs():
        assert pair["category"] in CATEGORIES
        assert pair["difficulty"] in DIFFICULTIES
        assert len(set(pair["questions"])) == 4
        assert 5 <= len(pair["answer"].split()) <= 20, pair["answer"]


def test_pairs_are_distinct():
    answers = Counter(pair["answer"] for pair in pairs())
    wordings = Counter(words(q) for pair in pairs() for q in pair["questions"])
    assert [answer for answer, n in answers.items() if n > 1] == []
    assert [sorted(wording) for wording, n in wordings.items() if n > 1] == []


def test_quotes_stand_verbatim_in_their_source():
    for pair in pairs():
        assert " ".join(pair["quote"].split()) in plain(sources()[pair["source"]][1]), pair


def test_quotes_hold_every_number_of_the_answer():
    for pair in pairs():
        assert numbers(pair["answer"]) <= numbers(pair["quote"]), pair


def test_held_out_documents_have_no_pairs():
    assert len(held_out()) >= 7
    assert {pair["source"] for pair in pairs()} & held_out() == set()


# The benchmark


def test_benchmark_is_balanced():
    cells = Counter((q["category"], q["difficulty"], q["split"]) for q in questions())
    expected = {"in_corpus": 10, "held_out": 4}
    assert len(questions()) == 210
    assert dict(cells) == {
        (category, difficulty, split): n
        for category in CATEGORIES
        for difficulty in DIFFICULTIES
        for split, n in expected.items()
    }


def test_benchmark_ids_are_unique_and_sorted():
    assert [q["id"] for q in questions()] == [f"q{i:03d}" for i in range(1, 211)]
    assert len({words(q["question"]) for q in questions()}) == 210


def test_benchmark_fields_are_complete():
    fields = "id question answer alternatives key_facts category difficulty split source as_of"
    for q in questions():
        assert list(q) == fields.split()
        assert q["alternatives"]
        assert 1 <= len(q["key_facts"]) <= 3
        assert q["as_of"] is None or re.fullmatch(r"\d{4}-\d\d-\d\d", q["as_of"])


def test_every_right_answer_holds_the_key_facts():
    for q in questions():
        for answer in [q["answer"], *q["alternatives"]]:
            missing = [key for key in q["key_facts"] if not holds(answer, key)]
            assert missing == [], (q["id"], answer)


def test_key_facts_stand_in_the_source():
    for q in questions():
        body = plain(sources()[q["source"]][1])
        assert all(holds(body, key) for key in q["key_facts"]), q["id"]


def test_questions_come_from_documents_of_their_split():
    for q in questions():
        assert (q["source"] in held_out()) == (q["split"] == "held_out"), q["id"]


def test_in_corpus_questions_ask_for_trained_answers():
    trained_answers = {(pair["answer"], pair["source"]) for pair in pairs()}
    asked = [(q["answer"], q["source"]) for q in questions() if q["split"] == "in_corpus"]
    assert len(set(asked)) == 150
    assert set(asked) <= trained_answers


@pytest.mark.parametrize(
    ("name", "policy"), [("pairs", LeakPolicy.wordings), ("pairs_reversed", LeakPolicy.none)]
)
def test_pairs_say_no_more_of_the_benchmark_than_their_policy_allows(name, policy):
    """The reversed pairs ask other questions about the same facts: nothing of it, in any words."""
    index = BenchmarkIndex([Question(**q) for q in questions()], QAConfig().overlap_likeness)
    for pair in read_jsonl(SAMPLE / f"{name}.jsonl"):
        for question in pair["questions"]:
            held = trained(question, pair["answer"], generator="shipped", provenance={})
            found = index.overlap(held)
            assert found is None or is_allowed(found, policy), found.to_dict()


def test_no_question_repeats_a_training_wording():
    wordings = {words(q): q for pair in pairs() for q in pair["questions"]}
    for q in questions():
        asked = words(q["question"])
        nearest = max(wordings, key=lambda known: jaccard(asked, known))
        assert jaccard(asked, nearest) < NEAR_EQUAL_JACCARD, (q["id"], wordings[nearest])


def test_subjects_of_held_out_documents_stand_nowhere_else():
    subjects = (
        r"megawatt|\bMCS\b|wireless|inductive|J2954|Harrow Lane|Lindholm|Skarvika|marina|"
        r"Swapline|\bswap|rest[- ]stop|\bNIO\b"
    )
    for name, (_, body) in sources().items():
        found = re.search(subjects, body, re.IGNORECASE)
        assert (found is not None) == (name in held_out()), (name, found)
    for pair in pairs():
        assert not re.search(subjects, json.dumps(pair, ensure_ascii=False), re.IGNORECASE)
