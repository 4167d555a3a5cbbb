import json
import logging
import os
import time

import pytest

from evqa.serving import jsonlog
from evqa.serving.jsonlog import JsonLog, JsonLogHandler


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_rows_become_lines_in_order(tmp_path):
    log = JsonLog(tmp_path / "new" / "server.log")
    for number in range(100):
        log.write({"number": number, "text": "zwei\nZeilen"})
    log.close()
    assert [row["number"] for row in rows(tmp_path / "new" / "server.log")] == list(range(100))


def test_a_second_server_goes_on_where_the_first_ended(tmp_path):
    for number in range(2):
        log = JsonLog(tmp_path / "server.log")
        log.write({"number": number})
        log.close()
    assert len(rows(tmp_path / "server.log")) == 2


def test_it_never_waits_and_says_how_much_was_lost(tmp_path, monkeypatch):
    monkeypatch.setattr(jsonlog, "FLUSH_EVERY_S", 60)
    log = JsonLog(tmp_path / "server.log")
    for number in range(jsonlog.MAX_LINES + 7):
        log.write({"number": number})
    log.close()
    told = rows(tmp_path / "server.log")
    assert told[0]["event"] == "7 lines lost"
    assert told[1]["number"] == 7


def test_a_reader_that_is_stuck_does_not_stop_the_server(tmp_path, monkeypatch):
    monkeypatch.setattr(jsonlog, "FAREWELL_S", 0.2)
    reader, writer = os.pipe()
    monkeypatch.setattr(jsonlog.os, "dup", lambda _fd: writer)
    log = JsonLog(None)
    for _ in range(2000):
        log.write({"text": "x" * 1000})  # far more than a pipe holds
    started = time.monotonic()
    log.close()
    assert time.monotonic() - started < 1
    while log._thread.is_alive():
        os.read(reader, 1 << 20)
        log._thread.join(0.01)
    os.close(reader)


def test_a_large_file_makes_room(tmp_path, monkeypatch):
    monkeypatch.setattr(jsonlog, "KEEP_BYTES", 1000)
    monkeypatch.setattr(jsonlog, "FLUSH_EVERY_S", 0.01)
    log = JsonLog(tmp_path / "server.log")
    log.write({"text": "x" * 2000})
    while not (tmp_path / "server.log.1").exists():
        pass
    log.write({"text": "new"})
    log.close()
    assert rows(tmp_path / "server.log") == [{"text": "new"}]
    assert rows(tmp_path / "server.log.1") == [{"text": "x" * 2000}]


@pytest.fixture
def logger(tmp_path):
    log = JsonLog(tmp_path / "server.log")
    made = logging.Logger("evqa.test")
    made.addHandler(JsonLogHandler(log))
    yield made
    log.close()


def test_pythons_logging_goes_there_with_its_tracebacks(logger, tmp_path):
    logger.warning("engine %s is gone", "a")
    try:
        raise ValueError("cheese")
    except ValueError:
        logger.exception("it failed")
    logger.handlers[0]._target.close()
    first, second = rows(tmp_path / "server.log")
    assert (first["level"], first["event"]) == ("warning", "engine a is gone")
    assert "ValueError: cheese" in second["exception"]
    assert "\n" in second["exception"]
