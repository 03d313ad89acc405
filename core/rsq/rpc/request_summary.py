"""What a request asks for, short enough for a line of the audit log."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

MAX_CHARACTERS = 200  # of a text
MAX_VALUES = 16  # of a list
_DEPTH = 2  # messages inside messages


def summarize(request: Any, depth: int = _DEPTH) -> dict[str, Any]:
    """The fields that were set, texts and lists cut short; of bytes only how many there are."""
    if not isinstance(request, Message):
        return {}
    found: dict[str, Any] = {}
    for field, value in request.ListFields():
        inner = field.message_type
        if inner is not None and (depth == 0 or inner.GetOptions().map_entry):
            continue
        if field.is_repeated:
            found[field.name] = [_shorten(field, item, depth) for item in value[:MAX_VALUES]]
            if len(value) > MAX_VALUES:
                found[field.name].append(f"and {len(value) - MAX_VALUES} more")
        else:
            found[field.name] = _shorten(field, value, depth)
    return found


def _shorten(field: FieldDescriptor, value: Any, depth: int) -> Any:
    if field.message_type is not None:
        return summarize(value, depth - 1)
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, str) and len(value) > MAX_CHARACTERS:
        return value[:MAX_CHARACTERS] + "..."
    return value
