"""What the template draws as a table: columns in groups, and cells with a second, smaller line."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cell:
    """`tone` is a class of the style sheet, such as "ok"; `heat` 0..1 tints the cell."""

    text: str
    note: str = ""
    tone: str = ""
    heat: float | None = None


@dataclass(frozen=True)
class Column:
    title: str
    hint: str = ""  # shown on hover: what the figure is


@dataclass(frozen=True)
class Group:
    """Neighbouring columns under one title, which may be empty."""

    title: str
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class Row:
    """`mark` is the class of a variant's colour."""

    head: str
    mark: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """`corner` is the title of the rows' heads."""

    caption: str
    corner: str
    groups: tuple[Group, ...]
    rows: tuple[Row, ...]
