"""Logs of the serving programs: lines of text or of JSON on stderr, each with its request id."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TextIO

from rsq.call_record import CallRecord
from rsq.request_id import current_request_id

# Given to a logger as `extra`, in the order in which a line shows them.
FIELDS = ("request_id", "method", "code", "milliseconds", "peer", "artifact", "model", "version")
# A message may hold a caller's words: nothing in it may begin a line or move a terminal's cursor.
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}

log = logging.getLogger("rsq.rpc")


class LogFormat(StrEnum):
    TEXT = "text"
    JSON = "json"


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def configure_logs(format: LogFormat, level: LogLevel, *, stream: TextIO | None = None) -> None:
    """Sends what rsq logs from `level` upwards to `stream`, by default stderr; of other packages
    warnings and errors only, whose progress nobody asked for."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if format is LogFormat.JSON else TextFormatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("rsq").setLevel(level.upper())


def log_call(record: CallRecord) -> None:
    """One line a call: INFO for a failure, DEBUG for a success."""
    level = logging.DEBUG if record.code == "OK" else logging.INFO
    if not log.isEnabledFor(level):
        return
    log.log(
        level,
        "%s",
        record.error or "answered",
        extra={
            "request_id": record.request_id,
            "method": record.method,
            "code": record.code,
            "milliseconds": round(record.milliseconds, 3),
            "peer": record.peer,
            "artifact": record.artifact_id[:12],
        },
    )


class JsonFormatter(logging.Formatter):
    """One object a line: time (UTC), level, logger, message, then those of FIELDS that are known,
    and `exception` for a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_known_fields(record),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, default=str)


class TextFormatter(logging.Formatter):
    """Time (UTC), level, logger, message and the known FIELDS as key=value; then a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage().translate(_CONTROL)
        parts = [_time(record), record.levelname, record.name, message]
        parts += [f"{name}={value}" for name, value in _known_fields(record).items()]
        if record.exc_info:
            parts.append("\n" + self.formatException(record.exc_info))
        return " ".join(parts)


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _known_fields(record: logging.LogRecord) -> dict[str, Any]:
    values = {name: getattr(record, name, "") for name in FIELDS}
    values["request_id"] = values["request_id"] or current_request_id()
    return {name: value for name, value in values.items() if value != ""}
