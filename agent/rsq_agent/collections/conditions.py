"""What must hold of a stored payload, in a form that both kinds of index translate for themselves;
keys are those of the payloads that they store."""

from __future__ import annotations

from dataclasses import dataclass

from rsq.retrieval import BoundingBox


@dataclass(frozen=True)
class Between:
    """A number within both bounds; None is no bound."""

    key: str
    least: float | None = None
    most: float | None = None


@dataclass(frozen=True)
class During:
    """A time from `since`, included, to `until`, excluded; RFC 3339."""

    key: str
    since: str | None
    until: str | None


@dataclass(frozen=True)
class OneOf:
    """A text, or one of several stored texts, equal to one of `values`."""

    key: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class StartsWith:
    key: str
    prefix: str


@dataclass(frozen=True)
class Within:
    """A point inside a box; west beyond east crosses the antimeridian."""

    key: str
    box: BoundingBox


@dataclass(frozen=True)
class Either:
    """All conditions of one group, whichever."""

    groups: tuple[tuple[Condition, ...], ...]


Condition = Between | During | OneOf | StartsWith | Within | Either
