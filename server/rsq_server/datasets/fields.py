"""Fields of a data set's records, and the JSON lines that hold them.

Every fault is a BadSource whose sentence begins with `where`: the file and its line or record.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rsq.errors import BadSource
from rsq.text import MAX_TEXT_BYTES

MAX_LINE_CHARACTERS = 1 << 20
MAX_DOCUMENT_BYTES = 256 << 20


def read_json_lines(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(where, fields) of every line that is not blank; a line too long is not JSON."""
    with file.open("rb") as lines:
        number = 0
        while line := lines.readline(MAX_LINE_CHARACTERS):
            number += 1
            if line.strip():
                where = f"{file}, line {number}"
                yield where, require_object(parse_json(line, where), where)


def read_document(file: Path) -> bytes:
    """A file of at most MAX_DOCUMENT_BYTES."""
    with file.open("rb") as opened:
        data = opened.read(MAX_DOCUMENT_BYTES + 1)
    if len(data) > MAX_DOCUMENT_BYTES:
        raise BadSource(f"{file} has over {MAX_DOCUMENT_BYTES} bytes.")
    return data


def parse_json(data: bytes, where: str) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as e:
        raise BadSource(f"{where} is not JSON.") from e


def require_object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadSource(f"{where} is not a JSON object.")
    return value


def read_text(fields: dict[str, Any], key: str, where: str) -> str:
    """A text that is there and not empty."""
    value = fields.get(key)
    if not isinstance(value, str) or not value:
        raise BadSource(f"{where} has no text in {key!r}.")
    check_text(value, where)
    return value


def read_label(fields: dict[str, Any], where: str) -> str | None:
    label = fields.get("label")
    if label is not None and not (isinstance(label, str) and label):
        raise BadSource(f"{where} has a label that is not a text.")
    check_text(label or "", where)
    return label


def read_captions(value: Any, where: str) -> tuple[str, ...]:
    """A list of texts, none of them blank."""
    if not isinstance(value, list) or not all(isinstance(c, str) and c.strip() for c in value):
        raise BadSource(f"{where} has captions that are not a list of texts.")
    for caption in value:
        check_text(caption, where)
    return tuple(value)


def check_text(text: str, where: str) -> None:
    """Refuses half a surrogate pair, and more than MAX_TEXT_BYTES in UTF-8."""
    try:
        size_bytes = len(text.encode())
    except UnicodeEncodeError as e:
        raise BadSource(f"{where} has half a surrogate pair, which is no character.") from e
    if size_bytes > MAX_TEXT_BYTES:
        raise BadSource(f"{where} has a text of {size_bytes} bytes, over {MAX_TEXT_BYTES}.")
