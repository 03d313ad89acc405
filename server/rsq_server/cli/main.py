"""`rsq-server`: the commands and their one error handler."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from rsq import __version__
from rsq.connection_options import calls_server
from rsq_server.cli import (
    audit,
    bundles,
    lifecycle,
    maintenance,
    models,
    nodes,
    publish,
    recipes,
    report,
    serve,
)
from rsq_server.cli.aliases import alias
from rsq_server.cli.options import BlobsUrl, DatabaseUrl, keep_locations
from rsq_server.cli.tokens import token
from rsq_server.cli.trust import trust

EPILOG = """Examples:

rsq-server publish demo --name demo --alias production

rsq-server serve

rsq-server --database postgresql+psycopg://rsq@db/rsq --blobs s3://rsq/models serve

Data lies under RSQ_HOME, else in the platform's data folder."""

app = typer.Typer(
    name="rsq-server",
    help="Quantize a vision-language model, measure each variant, and serve them to edge nodes.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command(epilog=publish.EPILOG)(calls_server(publish.publish))
app.command(epilog=recipes.EPILOG)(recipes.recipes)
app.command(epilog=serve.EPILOG)(serve.serve)
app.command(epilog=models.MODELS_EPILOG)(calls_server(models.models))
app.command(epilog=models.SHOW_EPILOG)(calls_server(models.show))
app.command(epilog=report.EPILOG)(report.report)
app.add_typer(alias, name="alias")
app.add_typer(trust, name="trust")
app.add_typer(token, name="token")
app.command(epilog=lifecycle.DEPRECATE_EPILOG)(calls_server(lifecycle.deprecate))
app.command(epilog=lifecycle.DELETE_EPILOG)(calls_server(lifecycle.delete))
app.command(epilog=maintenance.GC_EPILOG)(maintenance.gc)
app.command(epilog=maintenance.VERIFY_EPILOG)(calls_server(maintenance.verify))
app.command(epilog=bundles.EXPORT_EPILOG)(bundles.export)
app.command("import", epilog=bundles.IMPORT_EPILOG)(bundles.import_versions)
app.command(epilog=audit.EPILOG)(audit.audit)
app.command(epilog=nodes.EPILOG)(calls_server(nodes.nodes))


def _print_version(asked: bool) -> None:
    if asked:
        print(f"rsq-server {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    database: DatabaseUrl = None,
    blobs: BlobsUrl = None,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", is_eager=True, callback=_print_version
        ),
    ] = False,
) -> None:
    """Options of the program itself."""
    keep_locations(database, blobs)


def main() -> None:
    from rsq.cli import run_cli

    sys.exit(run_cli(lambda: app(standalone_mode=False), json_errors="--json" in sys.argv))
