"""References to versions as people write them: `NAME`, `NAME:3`, `NAME@production`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rsq.errors import BadInput

MAX_NAME_CHARACTERS = 128
MAX_ALIAS_CHARACTERS = 64
DEFAULT_ALIAS = "production"  # what a bare NAME means, where it is set

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_ALIAS = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}")  # a letter first: never taken for a number
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")  # below 2^31 with room to spare


@dataclass(frozen=True)
class Reference:
    """A model's name with at most one of a version number and an alias.

    With neither it means the alias `production` where that is set, else the newest version.
    """

    name: str
    number: int | None = None
    alias: str | None = None

    def __str__(self) -> str:
        if self.number is not None:
            return f"{self.name}:{self.number}"
        return self.name if self.alias is None else f"{self.name}@{self.alias}"


def parse_reference(text: str) -> Reference:
    """The reference in `text`; `str()` of the result is `text` again.

    Raises BadInput for anything but NAME, NAME:NUMBER and NAME@ALIAS, spaces included.
    """
    name, mark, rest = text.partition("@" if "@" in text else ":")
    if not _NAME.fullmatch(name):
        raise _refusal(text)
    if mark == "":
        return Reference(name)
    if mark == ":" and _NUMBER.fullmatch(rest):
        return Reference(name, number=int(rest))
    if mark == "@" and _ALIAS.fullmatch(rest):
        return Reference(name, alias=rest)
    raise _refusal(text)


def require_model_name(text: str) -> str:
    """`text` unchanged if it can name a model; raises BadInput otherwise."""
    if not _NAME.fullmatch(text):
        raise BadInput(
            f"{text[:MAX_NAME_CHARACTERS]!r} is not a model name; write letters, digits, '.', '_' "
            f"and '-', at most {MAX_NAME_CHARACTERS}, such as git-rsclip-base."
        )
    return text


def require_alias(text: str) -> str:
    """`text` unchanged if it can be an alias; raises BadInput otherwise."""
    if not _ALIAS.fullmatch(text):
        raise BadInput(
            f"{text[:MAX_ALIAS_CHARACTERS]!r} is not an alias; write a letter, then letters, "
            f"digits, '.', '_' and '-', at most {MAX_ALIAS_CHARACTERS}, such as production."
        )
    return text


def _refusal(text: str) -> BadInput:
    return BadInput(
        f"{text[:MAX_NAME_CHARACTERS]!r} is not a model reference; write NAME, NAME:3 or "
        "NAME@production, such as git-rsclip-base:3."
    )
