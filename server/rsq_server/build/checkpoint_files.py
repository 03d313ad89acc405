"""Reading the small JSON files of a checkpoint folder, none of which is trusted."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from rsq.errors import BadSource

MAX_JSON_BYTES = 16 << 20
_LICENCE = re.compile(r"^(license|license_name):[ \t]*['\"]?([^'\"\n#]+)", re.MULTILINE)
_MAX_LICENCE_CHARACTERS = 100
NOT_STATED = "not stated"


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """The JSON object in `folder/name`; empty when there is no such file.

    Raises BadSource when the file is too large or holds anything else.
    """
    try:
        with (folder / name).open("rb") as file:
            data = file.read(MAX_JSON_BYTES + 1)
    except FileNotFoundError:
        return {}
    except OSError as e:
        raise BadSource(f"The checkpoint's {name} can't be read.") from e
    if len(data) > MAX_JSON_BYTES:
        raise BadSource(f"The checkpoint's {name} is larger than {MAX_JSON_BYTES} bytes.")
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError) as e:
        raise BadSource(f"The checkpoint's {name} is not JSON.") from e
    if not isinstance(fields, dict):
        raise BadSource(f"The checkpoint's {name} is not a JSON object.")
    return fields


def read_licence(folder: Path, config: dict[str, Any]) -> str:
    """The licence that the README's front matter or else the configuration names."""
    stated = _read_front_matter(folder / "README.md")
    licence = stated.get("license") or config.get("license")
    if licence == "other":
        licence = stated.get("license_name", licence)
    if not isinstance(licence, str) or not licence.strip():
        return NOT_STATED
    return licence.strip()[:_MAX_LICENCE_CHARACTERS]


def _read_front_matter(path: Path) -> dict[str, str]:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            text = file.read(1 << 16)
    except OSError:
        return {}
    _, found, rest = text.partition("---\n")
    if not found or not text.startswith("---\n"):
        return {}
    block, _, _ = rest.partition("\n---")
    return {key: value.strip() for key, value in _LICENCE.findall(block)}
