"""`rsq-server alias set` and `rsq-server alias list`."""

from __future__ import annotations

from typing import Annotated

import typer

from rsq_server.cli.options import Json, Server
from rsq_server.cli.output import print_json, print_table

EPILOG = """Examples:

rsq-server alias set git-rsclip-base production 3

rsq-server alias list git-rsclip-base"""

alias = typer.Typer(
    help="Point names such as production at versions.",
    epilog=EPILOG,
    no_args_is_help=True,
)

Model = Annotated[str, typer.Argument(metavar="NAME", help="The model.")]


@alias.command("set", epilog="Example:\n\nrsq-server alias set git-rsclip-base production 3")
def set_alias(
    model: Model,
    name: Annotated[str, typer.Argument(metavar="ALIAS", help="Such as production or staging.")],
    version: Annotated[int, typer.Argument(metavar="VERSION", help="A version's number.", min=1)],
    server: Server = None,
    as_json: Json = False,
) -> None:
    """Point an alias at a version, at once for every node that asks."""
    from rsq_server.cli.registry import open_registry

    with open_registry(server) as registry:
        registry.set_alias(model, name, version)
    if as_json:
        print_json({"model": model, "alias": name, "version": version})
    else:
        print(f"{model}@{name} is now version {version}.")


@alias.command("list", epilog="Example:\n\nrsq-server alias list git-rsclip-base --json")
def list_aliases(model: Model, server: Server = None, as_json: Json = False) -> None:
    """List a model's aliases."""
    from rsq.reference import require_model_name
    from rsq_server.cli.registry import open_registry

    require_model_name(model)
    with open_registry(server) as registry:
        registry.version(model)  # raises NotFound in the registry's own words
        aliases = {row.name: row.aliases for row in registry.models()}[model]
    if as_json:
        print_json({"model": model, "aliases": aliases})
    elif aliases:
        print_table([{"alias": name, "version": str(n)} for name, n in aliases.items()])
    else:
        print(f"{model} has no aliases. Set one: rsq-server alias set {model} production 1")
