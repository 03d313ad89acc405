"""`audit`, the same for both programs. Only they import this: it needs typer."""

from __future__ import annotations

import json
from collections import deque
from pathlib import Path
from typing import Any

from rsq.audit import read_audit


def show_audit(folder: Path, *, lines: int, caller: str | None, as_json: bool) -> None:
    """Prints the newest `lines` calls, oldest first."""
    wanted = (entry for entry in read_audit(folder) if caller in (None, entry.get("caller")))
    found = deque(wanted, maxlen=lines)
    if as_json:
        print(json.dumps({"calls": list(found)}, indent=2))
    elif found:
        _print_table(list(found))
    else:
        print("No call has changed anything yet.")


def _print_table(entries: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for title in ("time", "caller", "from", "call", "outcome", "asked for"):
        table.add_column(title, overflow="fold")
    for entry in entries:
        asked = json.dumps(entry.get("request", {}), ensure_ascii=False)
        values = [entry.get(name, "") for name in ("time", "caller", "peer", "method", "code")]
        table.add_row(*(Text(str(value)) for value in (*values, asked)))
    console = Console()
    if not console.is_terminal:
        console.width = 1000  # rows are never folded
    console.print(table)
