import json
import random
import shutil

import pytest
from traced_world import ANSWER, QUOTE, REQUEST, request_record, write_requests

from evqa.errors import UserError
from evqa.lineage.trace import trace


def follow(world, answer=None, request=REQUEST, **options):
    return trace(world.outputs, world.registry, world.root, request, answer, **options)


def test_a_record_as_the_proxy_writes_it_is_whole(world):
    """The seal that the proxy sets is the one that a trace checks, over the line on the disk."""
    from evqa.files import sha256_bytes
    from evqa.serving.usage import RequestLog, RequestRecord

    shutil.rmtree(world.requests.parent)
    for number, record_text in enumerate((True, False)):
        log = RequestLog(world.requests.parent, record_text=record_text)
        log.append(
            RequestRecord(
                id=f"req-{number}", time="2026-01-01T00:00:00.000+00:00", key_id="k",
                version="evqa/1", model="evqa", prompt_sha256="0" * 64,
                answer_sha256=sha256_bytes(ANSWER.encode()), num_prompt_tokens=31,
                num_completion_tokens=9, ttft_ms=None, latency_ms=80.922, status=200,
                prompt=[{"role": "user", "content": "Wie viel? ½ \u2028 \U0001f600"}], answer=ANSWER,
            )
        )  # fmt: skip
        log.close()
        assert follow(world, ANSWER, request=f"req-{number}").problems == []


def test_an_answer_is_followed_to_its_document_page_and_licence(world):
    found = follow(world)
    assert found.problems == []
    assert [link.name for link in found.links] == [
        "request", "answer", "version", "run", "adapter", "base", "dataset", "pairs", "chunks",
        "documents", "pair", "pair", "source",
    ]  # fmt: skip
    first = found.evidence[0]
    assert first.pair.quote == QUOTE
    assert first.page == 2
    assert first.document.license == "CC-BY-4.0"
    assert first.document.url == "https://example.org/wallboxes"
    assert found.answer == ANSWER
    assert found.facts["git commit"] == "abc123"
    assert found.facts["adapter"] == "r=16 alpha=32.0"


def test_only_training_pairs_are_shown_nearest_first_and_a_quote_once(world):
    found = follow(world, num_nearest=9)
    answers = [evidence.pair.answer for evidence in found.evidence]
    assert answers == [QUOTE, "Rain does it no harm."]
    similarities = [evidence.similarity for evidence in found.evidence]
    assert similarities == sorted(similarities, reverse=True)
    assert 0 < similarities[-1] < similarities[0] <= 1


FILES = {
    "request": ("requests", ""),
    "version weights": ("registry", "evqa/1/model.safetensors"),
    "version manifest": ("registry", "evqa/1/manifest.json"),
    "registry index": ("registry", "evqa/index.json"),
    "run": ("run", "manifest.json"),
    "adapter": ("run", "adapter/adapter_model.safetensors"),
    "base": ("base", "model.safetensors"),
    "dataset": ("dataset", "manifest.json"),
    "pairs": ("dataset", "pairs.jsonl"),
    "chunks": ("dataset", "chunks.jsonl"),
    "documents": ("dataset", "documents.jsonl"),
    "source": ("raw", ""),
}


def artefact(world, name):
    place, rest = FILES[name]
    return getattr(world, place) / rest if rest else getattr(world, place)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("seed", range(6))
def test_a_byte_flipped_anywhere_is_named(world, name, seed):
    path = artefact(world, name)
    data = bytearray(path.read_bytes())
    spot = random.Random(f"{name}{seed}").randrange(len(data))
    if name == "request":  # anywhere in the record of this request
        spot = data.index(b"\n") + 1 + spot % (len(data) - data.index(b"\n") - 2)
    if name == "registry index":  # the date of registration is not part of the chain
        spot = data.index(b'"manifest_sha256"') + 22 + seed
    data[spot] ^= 1 << (seed % 7)
    path.write_bytes(data)
    try:
        found = follow(world)
    except UserError as error:
        pytest.fail(f"a damaged {name} was taken for a mistake of the user: {error}")
    assert found.problems, name
    told = "index.json" if name == "registry index" else name.split()[0]
    assert told in " ".join(found.problems)


@pytest.mark.parametrize("name", [n for n in FILES if n not in ("request", "registry index")])
def test_a_file_that_is_gone_is_named(world, name):
    artefact(world, name).unlink()
    found = follow(world)
    if name == "source":
        assert found.problems == []
        assert found.links[-1].note.startswith("not a file here; sha256")
    else:
        assert name.split()[0] in " ".join(found.problems)


def test_a_base_kept_elsewhere_is_said_and_not_an_error(world):
    shutil.rmtree(world.base)
    found = follow(world)
    assert found.problems == []
    (base,) = [link for link in found.links if link.name == "base"]
    assert "not hashed again" in base.note


def test_without_text_the_chain_stops_at_the_run_and_says_so(world):
    write_requests(world, request_record())
    found = follow(world)
    assert found.problems == []
    assert found.evidence == []
    (answer,) = [link for link in found.links if link.name == "answer"]
    assert "--answer FILE" in answer.note


@pytest.mark.parametrize("text", [ANSWER, ANSWER + "\n"])
def test_the_text_may_be_given(world, text):
    write_requests(world, request_record())
    assert follow(world, text).evidence[0].pair.quote == QUOTE


def test_another_text_is_not_taken_for_the_answer(world):
    write_requests(world, request_record())
    found = follow(world, "It draws 33 A.")
    assert found.problems == ["answer text: it is not the answer that was served (sha256 differs)"]
    assert found.evidence == []


def test_an_unknown_request_is_one_line(world):
    with pytest.raises(UserError, match="req-9: no such request in .*x-request-id"):
        follow(world, request="req-9")


def test_no_requests_at_all_is_one_line(world):
    shutil.rmtree(world.requests.parent)
    with pytest.raises(UserError, match="no such request"):
        follow(world)


def test_a_request_lost_in_a_damaged_line_is_said_to_be(world):
    lines = world.requests.read_text().splitlines()
    world.requests.write_text(lines[0] + "\n{broken\n")
    found = follow(world)
    assert "has changed" in found.problems[0]
    assert "2026-01-01.jsonl:2" in found.problems[0]


def test_a_record_without_seal_has_changed(world):
    record = request_record()
    del record["record_sha256"]
    write_requests(world, record)
    assert "the record has changed" in follow(world).problems[0]


def test_a_version_that_is_not_registered_is_a_broken_link(world):
    write_requests(world, request_record(version="evqa/7"))
    found = follow(world)
    assert "version evqa/7: cannot be read" in found.problems[0]
    write_requests(world, request_record(version="external"))
    assert "version external" in follow(world).problems[0]


def test_a_quote_that_does_not_stand_in_its_chunk_is_named(world):
    """Hashes agree (someone made a dataset that contradicts itself), the offsets do not."""
    from evqa.lineage.trace import _misplaced
    from evqa.records import Chunk, Document, QAPair, read_jsonl

    pair = next(iter(read_jsonl(world.dataset / "pairs.jsonl", QAPair)))
    chunk = next(iter(read_jsonl(world.dataset / "chunks.jsonl", Chunk)))
    document = next(iter(read_jsonl(world.dataset / "documents.jsonl", Document)))
    assert _misplaced(pair, chunk, document) is None
    moved = QAPair(**{**pair.to_dict(), "quote_start": 0})
    assert "quote does not stand in" in _misplaced(moved, chunk, document)
    shifted = Chunk(**{**chunk.to_dict(), "start": 3, "end": chunk.end})
    assert "does not stand in doc" in _misplaced(pair, shifted, document)


def test_a_prompt_of_plain_text_counts_as_the_question(world):
    write_requests(world, request_record(prompt="Does rain harm it?", answer=ANSWER))
    assert {e.pair.question for e in follow(world).evidence} >= {"Does rain harm a wallbox?"}


def test_the_record_is_found_among_days(world):
    later = world.requests.with_name("2026-01-02.jsonl")
    later.write_text(json.dumps(request_record(id="late", answer=ANSWER)) + "\n")
    assert follow(world, request="late").problems == []
