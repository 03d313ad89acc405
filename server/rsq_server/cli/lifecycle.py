"""`rsq-server deprecate` and `rsq-server delete`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from rsq.errors import BadInput
from rsq_server.cli.options import Json, Server
from rsq_server.cli.output import print_json

DEPRECATE_EPILOG = """Examples:

rsq-server deprecate git-rsclip-base:2 --reason "wrong mean and std"

rsq-server deprecate git-rsclip-base:2 --undo"""

DELETE_EPILOG = """Example:

rsq-server delete git-rsclip-base:2 --yes

The files go with the next `rsq-server gc`."""

OneVersion = Annotated[str, typer.Argument(metavar="NAME:3", help="A model and a version.")]


def deprecate(
    reference: OneVersion,
    reason: Annotated[
        str | None, typer.Option("--reason", help="What nodes that pull it are told.")
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Take it back.")] = False,
    server: Server = None,
    as_json: Json = False,
) -> None:
    """Advise against a version; nodes may still pull it, and are told so."""
    from rsq_server.cli.registry import open_registry

    model, number = _parse_version(reference)
    if undo == (reason is not None):
        raise BadInput("Give --reason TEXT, or --undo.")
    with open_registry(server) as registry:
        registry.deprecate(model, number, reason)
    if as_json:
        print_json({"model": model, "version": number, "deprecated": reason})
    else:
        print(f"{model}:{number} is {'no longer ' if undo else ''}deprecated.")


def delete(
    reference: OneVersion,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    server: Server = None,
    as_json: Json = False,
) -> None:
    """Give up a version's files. Its number, measurements and history stay on record."""
    from rsq_server.cli.registry import open_registry

    model, number = _parse_version(reference)
    if not yes:
        if not sys.stdin.isatty():
            raise BadInput(f"Deleting {model}:{number} can't be undone; repeat it with --yes.")
        typer.confirm(f"Delete {model}:{number} for good?", abort=True)
    with open_registry(server) as registry:
        registry.delete_version(model, number)
    if as_json:
        print_json({"model": model, "version": number, "deleted": True})
    else:
        print(f"{model}:{number} is deleted. `rsq-server gc` frees its files.")


def _parse_version(text: str) -> tuple[str, int]:
    from rsq.reference import parse_reference

    reference = parse_reference(text)
    if reference.number is None:
        raise BadInput(f"{text[:80]!r} names no version; write {reference.name}:3.")
    return reference.name, reference.number
