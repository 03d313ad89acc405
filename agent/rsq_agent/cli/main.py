"""`rsq-agent`: the commands and their one error handler."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from rsq import __version__
from rsq_agent.cli import (
    classify,
    doctor,
    index_add,
    index_check,
    index_transfer,
    index_watch,
    pull,
    rollback,
    search,
    serve,
    status,
    watch,
)
from rsq_agent.cli.cache import cache
from rsq_agent.cli.index import index
from rsq_agent.cli.index_migrate import migrate
from rsq_agent.cli.trust import trust
from rsq_agent.cli.tuf import tuf

app = typer.Typer(
    name="rsq-agent",
    help="Pull the model artifact that fits this node, serve it, and search images by words.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command(epilog=pull.EPILOG)(pull.pull)
app.command("import", epilog=pull.IMPORT_EPILOG)(pull.import_bundle)
app.command(epilog=serve.SERVE_EPILOG)(serve.serve)
app.command(epilog=rollback.EPILOG)(rollback.rollback)
app.command(epilog=watch.EPILOG)(watch.watch)
app.command(epilog=status.EPILOG)(status.status)
app.command(epilog=doctor.EPILOG)(doctor.doctor)
app.command(epilog=search.EPILOG)(search.search)
app.command(epilog=classify.EPILOG)(classify.classify)
index.command(epilog=index_add.EPILOG)(index_add.add)
index.command(epilog=index_watch.EPILOG)(index_watch.watch)
index.command("export", epilog=index_transfer.EXPORT_EPILOG)(index_transfer.export)
index.command("import", epilog=index_transfer.IMPORT_EPILOG)(index_transfer.import_)
index.command("check", epilog=index_check.EPILOG)(index_check.check)
index.add_typer(migrate, name="migrate")
app.add_typer(index, name="index")
app.add_typer(cache, name="cache")
app.add_typer(trust, name="trust")
app.add_typer(tuf, name="tuf")


def _print_version(asked: bool) -> None:
    if asked:
        print(f"rsq-agent {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", is_eager=True, callback=_print_version
        ),
    ] = False,
) -> None:
    """Options of the program itself."""


def main() -> None:
    from rsq.cli import run_cli

    sys.exit(run_cli(lambda: app(standalone_mode=False), json_errors="--json" in sys.argv))
