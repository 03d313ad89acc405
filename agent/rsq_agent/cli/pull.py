"""`rsq-agent pull`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rsq.errors import BadInput
from rsq_agent.cli.options import AgentAddress, Json, Server, build_config
from rsq_agent.config import DEFAULT_LISTEN, DEFAULT_SERVER

if TYPE_CHECKING:
    from rsq.resolve import Request
    from rsq_agent.pull import PullPlan

EPILOG = """Examples:

rsq-agent pull git-rsclip-base --vram 2GB

rsq-agent pull git-rsclip-base@staging --vram 600MB --plan

rsq-agent pull git-rsclip-base:3 --tower text --json"""


def pull(
    reference: Annotated[str, typer.Argument(metavar="NAME", help="NAME, NAME:3 or NAME@alias.")],
    vram: Annotated[
        str | None,
        typer.Option(
            "--vram",
            help="Memory for the chosen artifacts together: 2GB, 512MiB. Default: no limit.",
            metavar="SIZE",
        ),
    ] = None,
    tower: Annotated[
        str | None, typer.Option("--tower", help="Only this tower: vision or text.")
    ] = None,
    max_batch: Annotated[
        int, typer.Option("--max-batch", help="Largest batch to be served.", min=1, max=256)
    ] = 8,
    pin: Annotated[
        str | None,
        typer.Option("--pin", help="Take this variant, such as int8.", metavar="VARIANT"),
    ] = None,
    plan_only: Annotated[
        bool, typer.Option("--plan", help="Say what would be chosen and moved; move nothing.")
    ] = False,
    server: Server = DEFAULT_SERVER,
    agent: AgentAddress = DEFAULT_LISTEN,
    as_json: Json = False,
) -> None:
    """Fetch the most accurate artifacts that fit, prove them here, and activate them."""
    from rsq.rpc.registry import RegistryClient
    from rsq_agent.cache import Cache
    from rsq_agent.pull import plan_pull

    config = build_config(server=server, listen=agent)
    request = _request(vram, tower, max_batch, pin)
    cache = Cache(config.home)
    with RegistryClient(config.server) as client:
        plan = plan_pull(client, cache, reference, request)
        if plan_only:
            _report(plan, plan.to_json(), as_json)
            return
        from rsq_agent.cli.pull_steps import run_pull

        moved = run_pull(client, cache, plan, request, config, quiet=as_json)
    result = plan.to_json()
    result["bytes_fetched"] = moved
    del result["bytes_to_fetch"]
    _report(plan, result, as_json)


def _request(vram: str | None, tower: str | None, max_batch: int, pin: str | None) -> Request:
    from rsq.manifest import TOWERS
    from rsq.resolve import Request
    from rsq.units import parse_size
    from rsq_agent.device import find_device

    budget = parse_size(vram) if vram is not None else None
    towers = tuple(name for name in TOWERS if tower in (None, name))
    if not towers:
        raise BadInput(f"{tower!r} is not a tower; write --tower vision or --tower text.")
    return Request(find_device(), towers, budget, max_batch, pin)


def _report(plan: PullPlan, result: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(result, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    from rsq.units import format_size

    console = Console()
    table = Table(title=f"{result['model']}:{result['version']}", title_justify="left")
    for column in ("tower", "variant", "reason", "why"):
        table.add_column(column)
    for candidate in plan.resolution.candidates:
        chosen = candidate.reason == "FITS"
        table.add_row(
            candidate.tower,
            candidate.variant,
            str(candidate.reason),
            candidate.detail,
            style="bold green" if chosen else None,
        )
    console.print(table)
    peak = format_size(plan.resolution.predicted_peak_bytes)
    if "bytes_fetched" in result:
        console.print(
            f"Active: {_names(plan)}. Fetched {format_size(result['bytes_fetched'])}, reused "
            f"{format_size(result['bytes_reused'])}; predicted peak {peak}."
        )
    else:
        console.print(
            f"Would activate {_names(plan)}: {format_size(result['bytes_to_fetch'])} to fetch, "
            f"{format_size(result['bytes_reused'])} here already; predicted peak {peak}."
        )


def _names(plan: PullPlan) -> str:
    return " and ".join(f"{choice.tower} {choice.variant}" for choice in plan.resolution.chosen)
