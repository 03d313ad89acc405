"""`rsq-agent cache ls | rm | prune`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from rsq_agent.cli.options import Json, build_config

if TYPE_CHECKING:
    from rsq_agent.cache_contents import Removal

EPILOG = """Examples:

rsq-agent cache ls

rsq-agent cache prune --dry-run

rsq-agent cache rm 3f9c2a7b"""

cache = typer.Typer(
    help="List what was pulled to this node, and free its space.",
    epilog=EPILOG,
    no_args_is_help=True,
)


@cache.command("ls", epilog="Example:\n\nrsq-agent cache ls --json")
def list_cache(as_json: Json = False) -> None:
    """List the artifacts on this node: what serves, what a rollback needs, and the rest."""
    from rsq.units import format_size
    from rsq_agent.cache import Cache
    from rsq_agent.cache_contents import list_artifacts

    artifacts = list_artifacts(Cache(build_config().home))
    if as_json:
        print(json.dumps({"artifacts": [asdict(artifact) for artifact in artifacts]}, indent=2))
        return
    if not artifacts:
        print("Nothing was pulled to this node yet.")
    for artifact in artifacts:
        cut_off = "" if artifact.complete else "  (not complete)"
        print(
            f"{artifact.id[:12]}  {artifact.tower:6}  {artifact.variant:16}  "
            f"{format_size(artifact.size_bytes):>8}  {artifact.state}{cut_off}"
        )


@cache.command("rm", epilog="Example:\n\nrsq-agent cache rm 3f9c2a7b")
def remove(
    artifact: Annotated[
        str, typer.Argument(metavar="ARTIFACT", help="The id, or its first characters.")
    ],
    as_json: Json = False,
) -> None:
    """Remove one artifact that neither serves nor is kept for a rollback."""
    from rsq_agent.cache import Cache
    from rsq_agent.cache_contents import remove_artifact

    _report(remove_artifact(Cache(build_config().home), artifact), as_json, "Removed")


@cache.command("prune", epilog="Example:\n\nrsq-agent cache prune --dry-run")
def prune_cache(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go; remove nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Remove all artifacts and cut-off transfers that nothing needs."""
    from rsq_agent.cache import Cache
    from rsq_agent.cache_contents import prune

    removal = prune(Cache(build_config().home), dry_run=dry_run)
    _report(removal, as_json, "Would remove" if dry_run else "Removed")


def _report(removal: Removal, as_json: bool, verb: str) -> None:
    from rsq.units import format_size

    if as_json:
        print(json.dumps(asdict(removal), indent=2))
        return
    for artifact_id in removal.artifact_ids:
        print(f"{verb} artifact {artifact_id[:12]}")
    for digest in removal.partials:
        print(f"{verb} the cut-off transfer of {digest[:12]}")
    print(
        f"{verb} {len(removal.blobs)} files and {len(removal.partials)} cut-off transfers: "
        f"{format_size(removal.freed_bytes)}."
    )
