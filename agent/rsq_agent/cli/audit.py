"""`rsq-agent audit`."""

from __future__ import annotations

from typing import Annotated

import typer

from rsq_agent.cli.options import Json, home_folder

EPILOG = """Examples:

rsq-agent audit

rsq-agent audit --caller ci --lines 1000 --json"""


def audit(
    lines: Annotated[int, typer.Option("--lines", help="How many of the newest.", min=1)] = 50,
    caller: Annotated[
        str | None, typer.Option("--caller", help="Of this token or address.", metavar="NAME")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the calls that changed something: who, when, what, and how it ended."""
    from rsq.audit_command import show_audit

    show_audit(home_folder(), lines=lines, caller=caller, as_json=as_json)
