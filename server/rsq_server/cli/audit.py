"""`rsq-server audit`."""

from __future__ import annotations

from typing import Annotated

import typer

from rsq_server.cli.options import Json, build_config

EPILOG = """Examples:

rsq-server audit

rsq-server audit --caller ci --lines 1000 --json"""


def audit(
    lines: Annotated[int, typer.Option("--lines", help="How many of the newest.", min=1)] = 50,
    caller: Annotated[
        str | None, typer.Option("--caller", help="Of this token or address.", metavar="NAME")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the calls that changed something: who, when, what, and how it ended."""
    from rsq.audit_command import show_audit

    show_audit(build_config().home, lines=lines, caller=caller, as_json=as_json)
