"""What commands print on stdout: JSON for scripts, tables for people."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

WIDEST_TABLE = 1000  # characters; where no terminal sets a width, rows are never folded
BORDER = 3  # characters that a column costs beside its cells

Rows = Sequence[dict[str, str]]


def print_json(value: dict[str, Any]) -> None:
    print(json.dumps(value, indent=2))


def print_table(rows: Rows, *, keys: int = 1) -> None:
    """`rows` have the same keys, which are the column titles. Columns that a terminal has no room
    for follow in further tables, each of which begins with the first `keys` columns."""
    from rich.console import Console

    console = Console()
    if console.is_terminal:
        tables = _split_columns(rows, keys=keys, width=console.width)
    else:
        console.width = WIDEST_TABLE
        tables = [{title: title for title in rows[0]}]
    for columns in tables:
        console.print(_make_table(rows, columns))


def _split_columns(rows: Rows, *, keys: int, width: int) -> list[dict[str, str]]:
    """The tables to draw, each as its columns' titles with the lines that these are folded into:
    onto as few lines as fit, so that a title does not make its column wider than its cells."""
    folded = {}
    widths = {}
    for title in rows[0]:
        cells = max(len(row[title]) for row in rows)
        widest_word = max(len(word) for word in title.split())
        lines = textwrap.wrap(title, max(cells, widest_word))
        folded[title] = "\n".join(lines)
        widths[title] = max(cells, *map(len, lines)) + BORDER
    titles = list(rows[0])
    leading = titles[:keys]
    tables = [list(leading)]
    for title in titles[keys:]:
        taken = sum(widths[known] for known in tables[-1]) + 1
        if taken + widths[title] > width and len(tables[-1]) > keys:
            tables.append(list(leading))
        tables[-1].append(title)
    return [{title: folded[title] for title in table} for table in tables]


def _make_table(rows: Rows, columns: dict[str, str]) -> Table:
    from rich.table import Table
    from rich.text import Text

    # Cells are Text, because names that nodes send must not be read as markup.
    table = Table()
    for lines in columns.values():
        table.add_column(Text(lines), overflow="fold")
    for row in rows:
        table.add_row(*(Text(row[title]) for title in columns))
    return table
