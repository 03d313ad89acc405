"""A checkpoint on a model hub as a user types it: `hf:ORG/NAME` or `modelscope:ORG/NAME`, with an
optional `@REVISION` (a branch, a tag or a commit)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from rsq.errors import BadInput

Hub = Literal["hf", "modelscope"]
EXAMPLES = (
    "write hf:ORG/NAME or modelscope:ORG/NAME, with @REVISION or not, a folder's path, or demo"
)
MAX_TEXT = 512  # characters
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(.*)", re.ASCII | re.DOTALL)
# 96 characters and no "--" or "..": what both hubs accept. Since both clients name cache folders
# after these parts, a part that is not plain must never reach them.
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,95}", re.ASCII)
_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/+-]{0,127}", re.ASCII)


@dataclass(frozen=True)
class HubReference:
    """`revision` None means the hub's default branch."""

    hub: Hub
    repository: str  # ORG/NAME
    revision: str | None = None

    def __str__(self) -> str:
        suffix = f"@{self.revision}" if self.revision else ""
        return f"{self.hub}:{self.repository}{suffix}"


def names_hub(text: str) -> bool:
    """Whether `text` starts with a scheme. A folder whose name holds a colon is written `./a:b`."""
    return _SCHEME.match(text) is not None


def parse_hub_reference(text: str, revision: str | None = None) -> HubReference:
    """The reference in `text`; `revision`, given apart from it, counts like an `@REVISION` suffix.

    Raises BadInput for an unknown scheme, a repository that is not ORG/NAME, a revision that is not
    plain, and two different revisions.
    """
    match = _SCHEME.fullmatch(text) if len(text) <= MAX_TEXT else None
    if match is None:
        raise BadInput(f"{text[:80]!r} is not a model source; {EXAMPLES}.")
    scheme, rest = match.groups()
    if scheme not in ("hf", "modelscope"):
        raise BadInput(f"rsq reads no {scheme[:40]!r} sources; {EXAMPLES}.")
    repository, at, suffix = rest.partition("@")
    parts = repository.split("/")
    if len(parts) != 2 or not all(_is_plain(part, _PART) and "--" not in part for part in parts):
        raise BadInput(f"{repository[:80]!r} is not a repository on a hub; {EXAMPLES}.")
    if at and revision is not None and suffix != revision:
        raise BadInput(f"{text!r} and the revision {revision[:80]!r} disagree.")
    chosen = suffix if at else revision
    if chosen is not None and not _is_plain(chosen, _REVISION):
        raise BadInput(f"{chosen[:80]!r} is not a revision; write a branch, a tag or a commit.")
    return HubReference("hf" if scheme == "hf" else "modelscope", repository, chosen)


def _is_plain(text: str, pattern: re.Pattern[str]) -> bool:
    return bool(pattern.fullmatch(text)) and ".." not in text and "//" not in text
