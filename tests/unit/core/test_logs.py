from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from datetime import datetime

import pytest

from rsq.call_record import CallRecord
from rsq.logs import LogFormat, LogLevel, configure_logs, log_call
from rsq.request_id import request_scope

log = logging.getLogger("rsq.test")


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, own = root.handlers[:], root.level, logging.getLogger("rsq").level
    root.handlers = []
    yield
    root.handlers = handlers
    root.setLevel(level)
    logging.getLogger("rsq").setLevel(own)


def _configure(format: LogFormat, level: LogLevel = LogLevel.DEBUG) -> io.StringIO:
    stream = io.StringIO()
    configure_logs(format, level, stream=stream)
    return stream


def test_a_json_line_has_the_known_fields_and_the_current_request_id() -> None:
    stream = _configure(LogFormat.JSON)
    with request_scope("r1"):
        log.info("moved %d", 3, extra={"model": "tiny", "version": 2})
    line = json.loads(stream.getvalue())
    assert datetime.fromisoformat(line.pop("time")).utcoffset() is not None
    assert line == {
        "level": "INFO",
        "logger": "rsq.test",
        "message": "moved 3",
        "request_id": "r1",
        "model": "tiny",
        "version": 2,
    }


def test_of_other_packages_only_warnings_are_shown() -> None:
    stream = _configure(LogFormat.TEXT, LogLevel.DEBUG)
    logging.getLogger("alembic.runtime").info("Context impl SQLiteImpl.")
    logging.getLogger("alembic.runtime").warning("this matters")
    assert "SQLiteImpl" not in stream.getvalue()
    assert "this matters" in stream.getvalue()


def test_a_traceback_stays_inside_its_json_line() -> None:
    stream = _configure(LogFormat.JSON)
    try:
        raise ZeroDivisionError("boom")
    except ZeroDivisionError:
        log.exception("failed")
    (line,) = stream.getvalue().splitlines()
    assert "ZeroDivisionError: boom" in json.loads(line)["exception"]


@pytest.mark.parametrize("format", list(LogFormat))
def test_a_callers_words_never_begin_a_line_or_reach_the_terminal(format: LogFormat) -> None:
    stream = _configure(format)
    log.info("no model %s", "x\n2026 ERROR forged\x1b[2J")
    assert len(stream.getvalue().splitlines()) == 1
    assert "\x1b" not in stream.getvalue()


def test_a_text_line_ends_in_its_fields() -> None:
    stream = _configure(LogFormat.TEXT)
    with request_scope("r1"):
        log.warning("slow", extra={"code": "OK"})
    assert stream.getvalue().endswith(" WARNING rsq.test slow request_id=r1 code=OK\n")


def test_failures_are_logged_at_info_and_successes_at_debug() -> None:
    answered = CallRecord("Embedding/EmbedText", "r1")
    failed = CallRecord("Embedding/EmbedText", "r2", code="NOT_FOUND", error="There is none.")
    stream = _configure(LogFormat.JSON, LogLevel.INFO)
    log_call(answered)
    assert stream.getvalue() == ""
    log_call(failed)
    line = json.loads(stream.getvalue())
    assert line["message"] == "There is none."
    assert line["code"] == "NOT_FOUND"
    assert line["method"] == "Embedding/EmbedText"
    stream = _configure(LogFormat.JSON)
    log_call(answered)
    assert json.loads(stream.getvalue())["level"] == "DEBUG"
