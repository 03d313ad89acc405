"""`rsq-agent index check`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from rsq.connection_options import agent_endpoint
from rsq.errors import GateRefused
from rsq_agent.cli.options import AgentAddress, Json
from rsq_agent.config import DEFAULT_LISTEN

EPILOG = """Examples:

rsq-agent index check default

rsq-agent index check default --queries 1000 --target 0.995 --json"""


def check(
    collection: Annotated[str, typer.Argument(help="Name of the collection.")],
    queries: Annotated[int, typer.Option("--queries", min=1, help="How many are tried.")] = 200,
    k: Annotated[int, typer.Option("-k", min=1, help="How many hits are compared.")] = 10,
    target: Annotated[
        float, typer.Option("--target", min=0, max=1, help="The recall to hold; below it: exit 10.")
    ] = 0.99,
    agent: AgentAddress = DEFAULT_LISTEN,
    as_json: Json = False,
) -> None:
    """Measure how often approximate search finds what exact search finds, on your own vectors."""
    from rsq.care_client import CareClient

    with CareClient(agent_endpoint(agent)) as client:
        found = client.check_recall(collection, queries=queries, k=k)
    if found.recall < target:
        raise GateRefused(
            f"recall@{k} of {collection!r} is {found.recall:.4f} over {found.queries} queries, "
            f"below {target:g}. Search with --exact where every hit counts."
        )
    if as_json:
        print(json.dumps({"collection": collection, **asdict(found)}, indent=2))
        return
    print(
        f"recall@{k} of {collection!r}: {found.recall:.4f} over {found.queries} queries near its "
        f"{found.points} vectors; {found.approximate_p50_ms:.2f} ms a search, "
        f"{found.exact_p50_ms:.2f} ms exactly (medians)."
    )
    if found.is_exact:
        print("The collection is small: every search compares all vectors.")
