"""`rsq-agent`: the commands and their one error handler."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from rsq import __version__
from rsq.connection_options import calls_agent, calls_both, calls_mirrors, calls_server
from rsq_agent.cli import (
    audit,
    classify,
    doctor,
    index_add,
    index_check,
    index_snapshot,
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
from rsq_agent.cli.tokens import token
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
app.command(epilog=pull.EPILOG)(calls_mirrors(pull.pull))
app.command("import", epilog=pull.IMPORT_EPILOG)(calls_agent(pull.import_bundle))
app.command(epilog=serve.SERVE_EPILOG)(calls_server(serve.serve))
app.command(epilog=rollback.EPILOG)(calls_agent(rollback.rollback))
app.command(epilog=watch.EPILOG)(calls_both(watch.watch))
app.command(epilog=status.EPILOG)(calls_agent(status.status))
app.command(epilog=doctor.EPILOG)(calls_both(doctor.doctor))
app.command(epilog=audit.EPILOG)(audit.audit)
app.command(epilog=search.EPILOG)(calls_agent(search.search))
app.command(epilog=classify.EPILOG)(calls_agent(classify.classify))
index.command(epilog=index_add.EPILOG)(calls_agent(index_add.add))
index.command(epilog=index_watch.EPILOG)(calls_agent(index_watch.watch))
index.command("export", epilog=index_transfer.EXPORT_EPILOG)(calls_agent(index_transfer.export))
index.command("import", epilog=index_transfer.IMPORT_EPILOG)(calls_agent(index_transfer.import_))
index.command("check", epilog=index_check.EPILOG)(calls_agent(index_check.check))
index.command(epilog=index_snapshot.SNAPSHOT_EPILOG)(calls_agent(index_snapshot.snapshot))
index.command(epilog=index_snapshot.RESTORE_EPILOG)(calls_agent(index_snapshot.restore))
index.command(epilog=index_snapshot.COMPACT_EPILOG)(calls_agent(index_snapshot.compact))
index.add_typer(migrate, name="migrate")
app.add_typer(index, name="index")
app.add_typer(cache, name="cache")
app.add_typer(trust, name="trust")
app.add_typer(token, name="token")
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
