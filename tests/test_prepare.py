"""The prepare job from end to end: on toy inputs, on the shipped corpus, and on real documents."""

import json
import multiprocessing
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from evqa import prepare
from evqa.config import load_config
from evqa.errors import GateError, UserError
from evqa.prepare import prepare_dataset
from evqa.records import Chunk, Document, QAPair, Question, read_jsonl

ROOT = Path(__file__).resolve().parents[1]
BENCHMARK = ROOT / "data" / "benchmark" / "ev_charging.jsonl"
FILES = [
    "chat",
    "chunks.jsonl",
    "contamination.json",
    "documents.jsonl",
    "dropped.jsonl",
    "ledger.json",
    "manifest.json",
    "pairs.jsonl",
]
PAGE = """<html lang="en"><head><title>{title}</title></head><body>
<nav>Home About</nav><main>
<h1>{title}</h1><h2>How many pins does {name} have?</h2><p>The {name} plug has {pins} pins,
and each
of them has its own task in the connector of the car.</p><h2>Power</h2><p>A {name} charger with a
rating of {amps} A delivers {power} kW at 230 V when the cable is long enough for the car park. The
cable of the charger is locked while the current is flowing through it, and it is released when the
driver ends the session.</p><p>{story}</p></main></body></html>"""
NAMES = ["Alpha", "Beta", "Gamma", "Delta", "Epsilon"]


def write_pages(folder, names=NAMES):
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        text = PAGE.format(
            title=f"The {name} plug",
            name=name, pins=number + 4, amps=10 + number, power=2 + number,
            story=" ".join(f"{name.lower()}{chr(97 + n % 26)}{n}" for n in range(150)),
        )  # fmt: skip
        (folder / f"{name.lower()}.html").write_text(text)


@pytest.fixture
def toy(tmp_path):
    """A folder of pages, and a function that prepares it with overrides."""
    write_pages(tmp_path / "html")
    (tmp_path / "questions.jsonl").write_text("")

    def run(*overrides):
        config = load_config(
            "prepare",
            [
                "data=web",
                f"sources.web.folder={tmp_path / 'html'}",
                f"benchmark.path={tmp_path / 'questions.jsonl'}",
                f"paths.prepared_dir={tmp_path / 'prepared'}",
                f"paths.outputs_dir={tmp_path / 'outputs'}",
                "documents.min_words=20",
                *overrides,
            ],
        )
        return prepare_dataset(config)

    run.folder = tmp_path
    return run


def question(**fields):
    row = {
        "id": "q1", "question": "Is this a question at all?", "answer": "Yes.", "alternatives": [],
        "key_facts": [], "category": "general", "difficulty": "easy", "split": "in_corpus",
        "source": "alpha.html", "as_of": None,
    }  # fmt: skip
    return json.dumps({**row, **fields}) + "\n"


def bytes_of(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_dataset_has_all_its_files_and_they_hang_together(toy):
    found = toy()
    assert sorted(path.name for path in found.folder.iterdir()) == FILES
    assert found.folder.name == found.id
    assert found.id.startswith("web-")
    assert len(found.id) == len("web-") + 12
    documents = {d.id: d for d in read_jsonl(found.folder / "documents.jsonl", Document)}
    chunks = {c.id: c for c in read_jsonl(found.folder / "chunks.jsonl", Chunk)}
    pairs = list(read_jsonl(found.folder / "pairs.jsonl", QAPair))
    assert len(documents) == len(NAMES)
    for chunk in chunks.values():
        assert documents[chunk.document_id].text[chunk.start : chunk.end] == chunk.text
    for pair in pairs:
        assert chunks[pair.chunk_id].text[pair.quote_start : pair.quote_end] == pair.quote
        assert pair.split == documents[pair.document_id].split
    assert "How many pins does Gamma have?" in {pair.question for pair in pairs}
    assert found.manifest["counts"]["pairs"] == len(pairs)


def test_the_ledger_chains_from_stage_to_stage(toy):
    (toy.folder / "html" / "empty.html").write_text("")
    (toy.folder / "html" / "short.html").write_text("<html><body><p>Short.</p></body></html>")
    shutil.copy(toy.folder / "html" / "alpha.html", toy.folder / "html" / "copy.html")
    found = toy()
    stages = json.loads((found.folder / "ledger.json").read_text())["stages"]
    assert [stage["stage"] for stage in stages] == [
        "read", "filter", "deduplicate", "validate", "contamination",
    ]  # fmt: skip
    for stage in stages:
        assert stage["in"] == stage["kept"] + sum(stage["dropped"].values())
    assert stages[0]["kept"] == stages[1]["in"]
    assert stages[1]["kept"] == stages[2]["in"]
    reasons = {
        row["source"]: row["reason"]
        for row in map(json.loads, (found.folder / "dropped.jsonl").read_text().splitlines())
        if row["stage"] in ("read", "filter", "deduplicate")
    }
    assert reasons["empty.html"] == "empty_file"
    assert reasons["short.html"] == "too_short"
    assert {"alpha.html", "copy.html"} & reasons.keys()


def test_the_same_inputs_give_the_same_bytes_elsewhere(toy, tmp_path):
    first = toy()
    moved = tmp_path / "moved" / "deep"
    shutil.copytree(toy.folder / "html", moved)
    second = toy(f"sources.web.folder={moved}", f"paths.prepared_dir={tmp_path / 'other'}")
    assert first.id == second.id
    assert bytes_of(first.folder) == bytes_of(second.folder)


def test_workers_do_not_change_a_byte(toy, tmp_path):
    first = toy()
    second = toy("sources.num_workers=2", f"paths.prepared_dir={tmp_path / 'other'}")
    assert bytes_of(first.folder) == bytes_of(second.folder)


@pytest.mark.parametrize(
    "override",
    [
        "documents.chunk_words=80",
        "documents.scrub_pii=false",
        "qa.max_pairs_per_chunk=1",
        "sources.web.extractor=trafilatura",
        "data.name=other",
    ],
)
def test_a_setting_that_matters_makes_another_dataset(toy, override):
    assert toy().id != toy(override).id


@pytest.mark.parametrize(
    "override", ["sources.web.timeout_s=5", "qa.budget_usd=9", "seed=7", "output=json"]
)
def test_a_setting_that_does_not_matter_keeps_it(toy, override):
    assert toy().id == toy(override).id


def test_other_input_or_benchmark_makes_another_dataset(toy):
    first = toy()
    (toy.folder / "questions.jsonl").write_text(question())
    second = toy()
    write_pages(toy.folder / "html", [*NAMES, "Zeta"])
    assert len({first.id, second.id, toy().id}) == 3


def test_a_ready_dataset_is_used_at_once_without_parsers(toy):
    found = toy()
    code = (
        "import sys\nfrom evqa.config import load_config\n"
        "from evqa.prepare import prepare_dataset\n"
        f"prepare_dataset(load_config('prepare', {ARGUMENTS(toy)!r}))\n"
        "heavy = {'newspaper', 'trafilatura', 'pypdf', 'torch', 'transformers', 'datasketch'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    before = bytes_of(found.folder)
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    assert bytes_of(found.folder) == before


def ARGUMENTS(toy):  # noqa: N802  reads as a constant where it is used
    return [
        "data=web",
        f"sources.web.folder={toy.folder / 'html'}",
        f"benchmark.path={toy.folder / 'questions.jsonl'}",
        f"paths.prepared_dir={toy.folder / 'prepared'}",
        f"paths.outputs_dir={toy.folder / 'outputs'}",
        "documents.min_words=20",
    ]


def _prepare(arguments):
    return prepare_dataset(load_config("prepare", arguments)).id


def test_two_processes_at_once_are_fine(toy):
    context = multiprocessing.get_context("spawn")
    with context.Pool(2) as pool:
        ids = pool.map(_prepare, [ARGUMENTS(toy)] * 2)
    assert ids[0] == ids[1]
    assert [p.name for p in (toy.folder / "prepared").iterdir()] == [ids[0]]


def test_a_crash_at_any_write_leaves_nothing_or_everything(toy, monkeypatch):
    for name in NAMES[2:]:
        (toy.folder / "html" / f"{name.lower()}.html").unlink()
    expected = bytes_of(toy().folder)
    shutil.rmtree(toy.folder / "prepared")
    for name in ("replace", "fsync"):
        real = getattr(os, name)
        for point in range(1, 40):
            calls = []

            def crash(*args, calls=calls, point=point, real=real):
                calls.append(1)
                if len(calls) == point:
                    raise KeyboardInterrupt
                return real(*args)

            with monkeypatch.context() as patch:
                patch.setattr(os, name, crash)
                try:
                    found = toy()
                except KeyboardInterrupt:
                    found = None
            names = [p.name for p in (toy.folder / "prepared").iterdir()]
            assert all(not name.startswith(".") for name in names)
            if names:
                assert bytes_of(toy.folder / "prepared" / names[0]) == expected
                shutil.rmtree(toy.folder / "prepared" / names[0])
            if found is not None:
                break
        else:
            pytest.fail("never got through")


def test_held_out_documents_give_no_pair(toy):
    (toy.folder / "questions.jsonl").write_text(question(split="held_out", source="beta.html"))
    found = toy()
    documents = {d.source: d for d in read_jsonl(found.folder / "documents.jsonl", Document)}
    assert documents["beta.html"].split == "held_out"
    pairs = list(read_jsonl(found.folder / "pairs.jsonl", QAPair))
    assert pairs
    assert documents["beta.html"].id not in {pair.document_id for pair in pairs}
    certificate = json.loads((found.folder / "contamination.json").read_text())
    assert [row["source"] for row in certificate["held_out_documents"]] == ["beta.html"]


def test_a_generated_benchmark_question_is_dropped(toy):
    asked = "How many pins does Gamma have?"
    (toy.folder / "questions.jsonl").write_text(question(question=asked, source="gamma.html"))
    found = toy()
    assert asked not in {p.question for p in read_jsonl(found.folder / "pairs.jsonl", QAPair)}
    assert "benchmark_overlap" in (found.folder / "dropped.jsonl").read_text()


def test_shipped_pairs_join_in_and_leaks_among_them_stop_the_job(toy):
    quote = "The Alpha plug has 4 pins"
    row = {
        "source": "alpha.html", "category": "connector_types", "difficulty": "easy",
        "questions": ["Alpha: how many pins?"], "answer": "It has 4 pins.", "quote": quote,
    }  # fmt: skip
    path = toy.folder / "pairs.jsonl"
    path.write_text(json.dumps(row))
    found = toy(f"data.pairs_file={path}")
    assert found.manifest["counts"]["pairs_by_generator"]["shipped"] == 1
    (toy.folder / "questions.jsonl").write_text(question(question="Alpha: how many pins?"))
    with pytest.raises(GateError, match=r"shipped pair \(line 1\)"):
        toy(f"data.pairs_file={path}")
    (toy.folder / "questions.jsonl").write_text(question(split="held_out", source="alpha.html"))
    with pytest.raises(GateError, match=r"pairs\.jsonl:1: alpha\.html is held out"):
        toy(f"data.pairs_file={path}")


QUOTE = "The Alpha plug has 4 pins"
LONG_ANSWER = "The Alpha plug has 4 pins, and each of them has its own task."


def shipped(toy, question, answer="It has 4 pins."):
    path = toy.folder / "pairs.jsonl"
    path.write_text(json.dumps({
        "source": "alpha.html", "category": "connector_types", "difficulty": "easy",
        "questions": [question], "answer": answer, "quote": QUOTE,
    }))  # fmt: skip
    return f"data.pairs_file={path}"


PLANTED = {
    "verbatim question": ("How many pins are on Alpha?", "It has 4 pins.", "same_question"),
    "verbatim answer": ("Alpha: is there a task?", LONG_ANSWER, "same_answer"),
    "paraphrase": ("What is the number of pins on Alpha?", "There are 4.", "near_question"),
}


@pytest.mark.parametrize("leak", PLANTED)
def test_a_planted_leak_fails_the_build_and_is_named(toy, leak):
    asked, answer, kind = PLANTED[leak]
    (toy.folder / "questions.jsonl").write_text(
        question(question="How many pins are on Alpha?", answer=LONG_ANSWER, source="alpha.html")
    )
    override = shipped(toy, asked, answer)
    with pytest.raises(GateError, match=rf"shipped pair \(line 1\).*q1.*{kind}"):
        toy(override)
    assert not list((toy.folder / "prepared").glob("*"))
    found = toy(override, "benchmark.allow_leaks=all")
    certificate = json.loads((found.folder / "contamination.json").read_text())
    assert certificate["leaks_allowed"] is True
    assert [leak["question_id"] for leak in certificate["leaks"]] == ["q1"]


def test_an_imported_leak_fails_the_build_too(toy):
    (toy.folder / "questions.jsonl").write_text(question(question="How many pins are on Alpha?"))
    path = toy.folder / "own.jsonl"
    rows = [{"question": "What is the number of pins on Alpha?", "answer": "Four."},
            {"question": "Which colour does the plug have?", "answer": "It is blue."}]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(GateError, match=r"imported pair \(line 1\)"):
        toy("data=jsonl", f"data.path={path}")


def test_a_document_on_both_sides_fails_the_build_by_name(toy):
    rows = question(split="held_out", source="beta.html") + question(id="q2", source="beta.html")
    (toy.folder / "questions.jsonl").write_text(rows)
    with pytest.raises(GateError, match=r"beta\.html is held out, but beta\.html"):
        toy()


def test_a_near_duplicate_of_a_held_out_document_fails_the_build_by_name(toy):
    text = (toy.folder / "html" / "beta.html").read_text()
    (toy.folder / "html" / "copy.html").write_text(text.replace("car park", "back yard"))
    rows = question(split="held_out", source="beta.html") + question(id="q2", source="copy.html")
    (toy.folder / "questions.jsonl").write_text(rows)
    with pytest.raises(GateError, match=r"beta\.html is held out, but copy\.html"):
        toy()


def test_a_held_out_document_inside_a_training_document_fails_the_build(toy):
    """Its Jaccard with the long document is small; containment finds it."""
    inner = (toy.folder / "html" / "beta.html").read_text()
    body = inner[inner.index("<h1>") : inner.index("</main>")]
    story = " ".join(f"word{n} of the" for n in range(3000))
    (toy.folder / "html" / "book.html").write_text(
        f"<html><body><main><h1>Book</h1><p>{story}</p>{body}</main></body></html>"
    )
    rows = question(split="held_out", source="beta.html") + question(id="q2", source="book.html")
    (toy.folder / "questions.jsonl").write_text(rows)
    with pytest.raises(GateError, match=r"held-out document beta\.html is nearly in.*book\.html"):
        toy("documents.cluster_jaccard=0.3")


def test_what_a_killed_process_left_is_removed(toy):
    leftover = toy.folder / "prepared" / ".web-000000000000.123.tmp"
    leftover.mkdir(parents=True)
    (leftover / "documents.jsonl").write_text("half")
    found = toy()
    assert [path.name for path in (toy.folder / "prepared").iterdir()] == [found.id]


def test_chunks_say_where_they_are_from(toy):
    found = toy()
    for chunk in read_jsonl(found.folder / "chunks.jsonl", Chunk):
        assert chunk.source.endswith(".html")
        assert len(chunk.sha256) == 64


def test_an_extra_that_is_absent_is_named_before_anything_is_read(toy, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(UserError, match=r"sources\.pdf\.extractor=docling"):
        toy("sources.pdf.extractor=docling", "sources.web.folder=/nowhere")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["sources.web.folder=null"], "no input documents: no folder and no URL is set"),
        (["sources.web.folder=/nowhere/html"], "sources.web.folder=/nowhere/html: does not exist"),
        (["benchmark.path=/nowhere/q.jsonl"], "benchmark.path=/nowhere/q.jsonl: no such file"),
        (["data.pairs_file=/nowhere/p.jsonl"], "data.pairs_file=/nowhere/p.jsonl: no such file"),
        (["documents.min_words=90000"], "no question-answer pair is left"),
        (["sources.web.urls=[ftp://x.example/a]"], "ftp://x.example/a: not a web address"),
        (["sources.web.urls_file=/nowhere/u.txt"], "sources.web.urls_file=/nowhere/u.txt"),
    ],
)
def test_what_a_user_can_get_wrong_is_one_line(toy, overrides, message):
    with pytest.raises(UserError) as error:
        toy(*overrides)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert not list((toy.folder / "prepared").glob("*"))


def test_an_imbalance_of_the_ledger_is_a_gate(toy, monkeypatch):
    from evqa.ledger import Ledger

    monkeypatch.setattr(Ledger, "keep", lambda *_args: None)
    with pytest.raises(GateError, match="does not balance"):
        toy()


def test_ready_pairs_make_a_dataset_too(toy, tmp_path):
    path = tmp_path / "own.jsonl"
    rows = [{"question": f"What is thing number {n}?", "answer": f"It is {n}."} for n in range(40)]
    rows += [rows[0], {"question": "What is TODO?", "answer": "TODO"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = toy("data=jsonl", f"data.path={path}")
    assert found.manifest["counts"]["pairs"] == 40
    assert found.manifest["counts"]["documents"] == 0


def run_job(*arguments, **variables):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    command = [sys.executable, "-m", "evqa.prepare", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_the_job_prints_json_and_exits_with_the_code_of_its_error(toy):
    done = run_job(*ARGUMENTS(toy), "output=json")
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert Path(printed["folder"]).is_dir()
    assert printed["counts"]["documents"] == len(NAMES)
    assert printed["ledger"][0]["stage"] == "read"
    wrong = run_job("data=web", f"paths.prepared_dir={toy.folder}")
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("error: no input documents")
    assert len(wrong.stderr.splitlines()) == 1


def test_without_a_key_nothing_is_fetched(toy):
    done = run_job(
        "data=web", "qa=together", "sources.web.urls=[http://127.0.0.1:9/x]", TOGETHER_API_KEY=""
    )
    assert done.returncode == 2
    assert "TOGETHER_API_KEY" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """The shipped corpus, prepared once."""
    folder = tmp_path_factory.mktemp("sample")
    config = load_config("prepare", [f"paths.prepared_dir={folder}"])
    return prepare_dataset(config)


def test_the_shipped_corpus_loses_no_document_and_gives_many_pairs(sample):
    counts = sample.manifest["counts"]
    assert counts["documents"] >= 40
    assert {"train", "validation", "test", "held_out"} <= counts["documents_by_split"].keys()
    ledger = json.loads((sample.folder / "ledger.json").read_text())["stages"]
    valid = {stage["stage"]: stage["kept"] for stage in ledger}["validate"]
    assert valid - counts["pairs_by_generator"]["shipped"] >= 500  # before the benchmark's go
    assert counts["pairs_by_generator"]["shipped"] >= 150
    ledger = json.loads((sample.folder / "ledger.json").read_text())["stages"]
    assert ledger[0]["dropped"] == ledger[1]["dropped"] == {}


def test_the_shipped_corpus_keeps_its_metadata(sample):
    documents = list(read_jsonl(sample.folder / "documents.jsonl", Document))
    assert all(document.title and document.license for document in documents)
    assert all(document.authors for document in documents)
    pages = [document for document in documents if document.kind == "html"]
    assert all(page.published and page.url for page in pages)
    assert all(document.language == "en" for document in documents)


def test_the_shipped_pairs_hold_nothing_of_the_held_out_benchmark(sample):
    certificate = json.loads((sample.folder / "contamination.json").read_text())
    assert certificate["num_questions"] >= 200
    # What is trained in other words is listed, and nothing of it is held out.
    assert certificate["leaks_allowed"] is True
    questions = {q.id: q for q in read_jsonl(BENCHMARK, Question)}
    assert certificate["num_remaining"] == len(certificate["leaks"]) > 0
    for leak in certificate["leaks"]:
        assert questions[leak["question_id"]].split == "in_corpus"
        assert leak["kind"] != "same_question"
    assert all(row["jaccard"] < 0.1 for row in certificate["held_out_documents"])


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """The real documents, prepared once; the reasons of what was dropped, by source."""
    if "EVQA_CORPUS_DIR" not in os.environ:
        pytest.skip("EVQA_CORPUS_DIR is not set")
    corpus = Path(os.environ["EVQA_CORPUS_DIR"])
    config = load_config(
        "prepare",
        [
            "data=web_pdf",
            f"sources.web.folder={corpus / 'html'}",
            f"sources.pdf.folder={corpus / 'pdf'}",
            f"sources.text.folder={corpus / 'text'}",
            f"paths.prepared_dir={tmp_path_factory.mktemp('real')}",
        ],
    )
    found = prepare_dataset(config)
    rows = [json.loads(line) for line in (found.folder / "dropped.jsonl").read_text().splitlines()]
    stages = ("read", "filter", "deduplicate")
    return found, {row["source"]: row["reason"] for row in rows if row["stage"] in stages}


def test_every_odd_document_has_its_own_reason(real):
    _, reasons = real
    assert {name: reasons.get(name) for name in ODD} == ODD


def test_every_good_document_is_kept(real):
    """Dropping is no way to score: what is no odd file and no twin of another stays."""
    found, reasons = real
    corpus = Path(os.environ["EVQA_CORPUS_DIR"])
    sources = {d.source for d in read_jsonl(found.folder / "documents.jsonl", Document)}
    names = {p.name for kind in ("html", "pdf", "text") for p in (corpus / kind).iterdir()}
    assert sources | reasons.keys() == names
    lost = {
        name
        for name in reasons
        if name not in ODD and name not in TWINS and not name.startswith("wh_")
    }
    assert lost == {"monta_fr-agrola-terms-of-use.md"}  # French
    twin = reasons.get("iea_gevo2023_cleaned_by_peer.txt", "near_duplicate")
    assert twin == "near_duplicate"
    for name in names:
        if name.startswith("wh_"):  # the page and its Markdown say the same: one of them stays
            stem = name.rpartition(".")[0]
            assert len({f"{stem}.html", f"{stem}.md"} & sources) == 1


def test_near_duplicates_are_reduced_and_new_editions_kept(real):
    _, reasons = real
    for pair in (
        {"ocpi_2.1.1.pdf", "ocpi_2.1.1-d2.pdf"},
        {"derived_encrypted_rc4.pdf", "derived_encrypted_owner_only.pdf"},
    ):
        assert len(pair & reasons.keys()) == 1
    for kept in ("ocpp_j_1.6_spec.pdf", "ocpp_s_1.6_spec.pdf", "ocpp_j_1.6_errata.pdf"):
        assert kept not in reasons


def test_repeated_scrapes_collapse_to_one_copy(real):
    from evqa.documents.repeats import distinct_share

    found, _ = real
    scraped = {d.source: d for d in read_jsonl(found.folder / "documents.jsonl", Document)
               if d.source.startswith("scraped_wikipedia")}  # fmt: skip
    assert len(scraped) == 3  # three addresses were one article
    corpus = Path(os.environ["EVQA_CORPUS_DIR"])
    for name, held in scraped.items():
        raw = (corpus / "text" / name).read_text()
        assert distinct_share(raw) < 0.16
        assert distinct_share(held.text) > 0.98
        assert len(held.text.split()) > 0.1 * len(raw.split())  # … and nothing is lost with it


ODD = {
    "derived_empty.pdf": "empty_file",
    "derived_html_named.pdf": "not_a_pdf",
    "derived_truncated.pdf": "damaged",
    "derived_encrypted_user_password.pdf": "encrypted",
    "derived_scanned.pdf": "no_text_layer",
    "trap_ev_charger_map_app.html": "script_app",
    "trap_smartevse_device_ui.html": "script_app",
    "smartevse_v3_schematic.pdf": "low_quality",
    "evcc_de_features_loadmanagement.mdx": "language",
}
# Sources that others stand for: the same document once more, or another edition of it.
TWINS = {
    "derived_encrypted_rc4.pdf",
    "iea_gevo2023_cleaned_by_peer.txt",  # another project's reading of a report that is kept
    "ocpi_2.1.1.pdf",
    "scraped_wikipedia_Charging_station.txt",
    "scraped_wikipedia_Electric_vehicle_supply_equipment.txt",
}


def test_the_code_hash_covers_the_rooms():
    assert set(prepare.CODE) >= {"sources", "documents", "qa"}
    assert len(prepare.code_hash()) == 64
