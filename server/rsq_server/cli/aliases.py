"""`rsq-server alias set | list | remove | history`."""

from __future__ import annotations

from typing import Annotated

import typer

from rsq.connection_options import calls_server
from rsq_server.cli.options import Json, Server, build_config
from rsq_server.cli.output import print_json, print_table

EPILOG = """Examples:

rsq-server alias set git-rsclip-base production 3

rsq-server alias list git-rsclip-base

rsq-server alias history git-rsclip-base --alias production --at 2026-03-01"""

HISTORY_EPILOG = """Examples:

rsq-server alias history git-rsclip-base

rsq-server alias history git-rsclip-base --alias production --at 2026-03-01

rsq-server alias history git-rsclip-base --at 2026-03-01T12:00:00Z --json"""

alias = typer.Typer(
    help="Point names such as production at versions.",
    epilog=EPILOG,
    no_args_is_help=True,
)

Model = Annotated[str, typer.Argument(metavar="NAME", help="The model.")]


@alias.command("set", epilog="Example:\n\nrsq-server alias set git-rsclip-base production 3")
@calls_server
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
        return
    print(f"{model}@{name} is now version {version}.")
    if server is None and _is_signed():
        print(f"Nodes with a pinned root follow once it is signed: rsq-server trust sign {model}")


def _is_signed() -> bool:
    """Whether versions are signed here at all."""
    from rsq.updates.metadata_files import MetadataFolder

    return MetadataFolder(build_config().trust_folder / "metadata").newest("root") is not None


@alias.command("list", epilog="Example:\n\nrsq-server alias list git-rsclip-base --json")
@calls_server
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


@alias.command("remove", epilog="Example:\n\nrsq-server alias remove git-rsclip-base staging")
@calls_server
def remove_alias(
    model: Model,
    name: Annotated[str, typer.Argument(metavar="ALIAS", help="Such as staging.")],
    server: Server = None,
    as_json: Json = False,
) -> None:
    """Remove an alias; its history stays."""
    from rsq_server.cli.registry import open_registry

    with open_registry(server) as registry:
        registry.remove_alias(model, name)
    if as_json:
        print_json({"model": model, "alias": name, "version": None})
    else:
        print(f"{model} has no alias {name} any more.")


@alias.command("history", epilog=HISTORY_EPILOG)
@calls_server
def show_history(
    model: Model,
    name: Annotated[
        str | None, typer.Option("--alias", help="Only this one.", metavar="ALIAS")
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            help="What each meant then: a day (its end, UTC) or a time such as "
            "2026-03-01T12:00:00Z.",
            metavar="DATE",
        ),
    ] = None,
    server: Server = None,
    as_json: Json = False,
) -> None:
    """Say who moved which alias when, or what it meant on a day."""
    from dataclasses import asdict

    from rsq_server.alias_history import in_force, parse_moment
    from rsq_server.cli.registry import open_registry

    moment = parse_moment(at) if at is not None else None
    with open_registry(server) as registry:
        events = registry.alias_history(model)
    events = [event for event in events if name in (None, event.alias)]
    if moment is not None:
        events = in_force(events, moment)
    if as_json:
        print_json({"model": model, "events": [asdict(event) for event in events]})
    elif events:
        print_table(
            [
                {
                    "alias": event.alias,
                    "version": "removed" if event.version is None else str(event.version),
                    "since" if moment else "at": event.at,
                    "by": event.by,
                }
                for event in events
            ]
        )
    else:
        print(f"{model} had no such alias{' then' if moment else ''}.")
