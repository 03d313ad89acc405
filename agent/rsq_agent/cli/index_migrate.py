"""`rsq-agent index migrate start | status | cut-over | revert | cancel`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from rsq.connection_options import agent_endpoint, calls_agent
from rsq_agent.cli.options import AgentAddress, Json
from rsq_agent.config import DEFAULT_LISTEN

if TYPE_CHECKING:
    from rsq.retrieval import Migration

Name = Annotated[str, typer.Argument(metavar="COLLECTION", help="Name of the collection.")]

migrate = typer.Typer(
    help="Move a collection into another model's embedding space, in the agent's background.",
    epilog="""Examples:

rsq-agent index migrate start default --to git-rsclip-base:2

rsq-agent index migrate status default

rsq-agent index migrate cut-over default""",
    no_args_is_help=True,
)


@migrate.command()
@calls_agent
def start(
    collection: Name,
    to: Annotated[
        str, typer.Option("--to", help="A model on this node.", metavar="NAME[:VERSION]")
    ],
    agent: AgentAddress = DEFAULT_LISTEN,
    as_json: Json = False,
) -> None:
    """Embed every image again into a new collection beside the old one."""
    from rsq.care_client import CareClient

    with CareClient(agent_endpoint(agent)) as client:
        _print(client.start_migration(collection, to), as_json)


@migrate.command()
@calls_agent
def status(collection: Name, agent: AgentAddress = DEFAULT_LISTEN, as_json: Json = False) -> None:
    """Tell how far a migration is and how much the two models agree."""
    from rsq.care_client import CareClient

    with CareClient(agent_endpoint(agent)) as client:
        _print(client.migration(collection), as_json)


@migrate.command("cut-over")
@calls_agent
def cut_over(
    collection: Name,
    force: Annotated[
        bool,
        typer.Option("--force", help="Though images are missing or the models hardly agree."),
    ] = False,
    agent: AgentAddress = DEFAULT_LISTEN,
    as_json: Json = False,
) -> None:
    """Let the new collection take the old one's place; the old one is kept."""
    from rsq.care_client import CareClient

    with CareClient(agent_endpoint(agent)) as client:
        _print(client.cut_over(collection, force=force), as_json)


@migrate.command()
@calls_agent
def revert(collection: Name, agent: AgentAddress = DEFAULT_LISTEN, as_json: Json = False) -> None:
    """Go back to the old collection, without what was added since the cut-over."""
    from rsq.care_client import CareClient

    with CareClient(agent_endpoint(agent)) as client:
        _print(client.revert_migration(collection), as_json)


@migrate.command()
@calls_agent
def cancel(collection: Name, agent: AgentAddress = DEFAULT_LISTEN, as_json: Json = False) -> None:
    """Stop a migration and delete what it made."""
    from rsq.care_client import CareClient

    with CareClient(agent_endpoint(agent)) as client:
        client.cancel_migration(collection)
    print(json.dumps({"collection": collection}) if as_json else "Cancelled.")


def _print(row: Migration, as_json: bool) -> None:
    if as_json:
        print(json.dumps(asdict(row), indent=2))
        return
    print(f"{row.collection} to {row.model}: {row.state}, {row.done} of {row.total} images.")
    if row.failed:
        print(f"{row.failed} images could not be read.")
    if row.sampled_queries:
        print(
            f"overlap@10 {row.overlap_at_10:.3f} over {row.sampled_queries} images: the share of "
            "an image's 10 nearest on which both models agree. It tells how different they are, "
            "not which is better."
        )
    if row.message:
        print(row.message)
