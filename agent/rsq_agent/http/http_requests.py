"""The body of a POST to /v1/embeddings, and the bodies that answer it. No sockets here."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rsq.errors import BadInput
from rsq_agent.inference.embedding import MAX_ITEMS, naming_item

Encoding = Literal["float", "base64"]


@dataclass(frozen=True)
class EmbeddingsRequest:
    """A text is a str, an image the bytes of its file."""

    items: list[str | bytes]
    model: str | None
    encoding: Encoding


def parse_request(body: bytes) -> EmbeddingsRequest:
    """Raises BadInput naming the field or the item at fault."""
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError) as e:
        raise BadInput("The body is not JSON in UTF-8.") from e
    if not isinstance(fields, dict):
        raise BadInput('The body is not a JSON object; it needs at least {"input": "a text"}.')
    if fields.get("dimensions") is not None:
        raise BadInput(
            "`dimensions` can't be chosen: these models have one dimension. Leave it out."
        )
    model = fields.get("model")
    if model is not None and not isinstance(model, str):
        raise BadInput("`model` is not a string.")
    encoding = fields.get("encoding_format", "float")
    if encoding not in ("float", "base64"):
        raise BadInput("`encoding_format` is neither float nor base64.")
    return EmbeddingsRequest(_items(fields.get("input")), model or None, encoding)


def embeddings_body(
    rows: NDArray[np.float32],
    *,
    encoding: Encoding,
    model: str,
    version: int,
    space_id: str,
    artifact_ids: dict[str, str],
) -> dict[str, Any]:
    """OpenAI's list of embeddings, with what made them. `rows` is float32 [n, dim]."""
    values = [
        row.tolist() if encoding == "float" else base64.b64encode(row.astype("<f4")).decode()
        for row in rows
    ]
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": value}
            for index, value in enumerate(values)
        ],
        "model": model,
        "version": version,
        "space_id": space_id,
        "artifact_ids": artifact_ids,
        # Nothing is billed by the token, and a text is padded to one length anyway.
        "usage": {"prompt_tokens": 0, "total_tokens": 0},
    }


def models_body(names: Sequence[str]) -> dict[str, Any]:
    """OpenAI's list of models."""
    rows = [{"id": name, "object": "model", "created": 0, "owned_by": "rsq"} for name in names]
    return {"object": "list", "data": rows}


def error_body(status: int, code: str, message: str) -> dict[str, Any]:
    """OpenAI's error object; `code` is rsq's own, stable one."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def _items(given: Any) -> list[str | bytes]:
    if isinstance(given, str):
        return [given]
    if not isinstance(given, list) or not given:
        raise BadInput("`input` is neither a string nor a list of strings or images.")
    if len(given) > MAX_ITEMS:
        raise BadInput(
            f"{len(given)} items in one request, over the limit of {MAX_ITEMS}; send them in parts."
        )
    items = []
    for index, item in enumerate(given):
        with naming_item(index):
            items.append(_item(item))
    return items


def _item(item: Any) -> str | bytes:
    if isinstance(item, str):
        return item
    if isinstance(item, dict) and isinstance(item.get("image"), str):
        return _image(item["image"])
    if isinstance(item, int | list):
        raise BadInput("Token ids are not taken; send the text itself.")
    raise BadInput('An item is a string or {"image": "data:image/png;base64,..."}.')


def _image(uri: str) -> bytes:
    head, comma, data = uri.partition(",")
    if not comma or not head.startswith("data:image/") or not head.endswith(";base64"):
        raise BadInput(
            "An image is a data URI, data:image/png;base64,...; addresses are not fetched."
        )
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as e:
        raise BadInput("The image's data URI is not base64.") from e
