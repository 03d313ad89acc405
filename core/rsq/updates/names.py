"""Names of metadata files: `3.targets.json` is version 3 of the role `targets`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rsq.errors import BadInput

TOP_LEVEL = ("root", "timestamp", "snapshot", "targets")
_ROLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_NAME = re.compile(r"(?:([1-9][0-9]{0,18})\.)?([A-Za-z0-9][A-Za-z0-9_-]{0,127})\.json")


@dataclass(frozen=True)
class MetadataName:
    """`version` is None for the file that is always the newest, as the timestamp is."""

    role: str
    version: int | None = None

    def __str__(self) -> str:
        prefix = "" if self.version is None else f"{self.version}."
        return f"{prefix}{self.role}.json"


def check_name(role: str, version: int | None) -> MetadataName:
    """Raises BadInput for a role that could not be a plain file name, or a version below 1."""
    if not _ROLE.fullmatch(role):
        raise BadInput(f"{role[:80]!r} is not the name of a role; write one like targets.")
    if version is not None and not 1 <= version < 1 << 62:
        raise BadInput(f"{version} is not a version of metadata; the first one is 1.")
    return MetadataName(role, version)


def parse_name(text: str) -> MetadataName:
    """Raises BadInput for anything but ROLE.json and VERSION.ROLE.json."""
    found = _NAME.fullmatch(text)
    if found is None:
        raise BadInput(f"{text[:80]!r} is not the name of a metadata file.")
    version, role = found.groups()
    return check_name(role, None if version is None else int(version))
