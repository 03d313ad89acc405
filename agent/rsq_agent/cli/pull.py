"""`rsq-agent pull` and `rsq-agent import`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rsq.errors import BadInput
from rsq_agent.cli.options import AgentAddress, Json, Server, build_config
from rsq_agent.config import DEFAULT_LISTEN, DEFAULT_SERVER

if TYPE_CHECKING:
    from rsq.resolve import Request
    from rsq.rpc.registry import RegistryClient
    from rsq_agent.config import AgentConfig
    from rsq_agent.pull import PullPlan
    from rsq_agent.sources import Origin

EPILOG = """Examples:

rsq-agent pull git-rsclip-base --vram 2GB

rsq-agent pull git-rsclip-base@staging --vram 600MB --plan

rsq-agent pull git-rsclip-base:3 --tower text --json

rsq-agent pull git-rsclip-base --limit-rate 500KB --mirror 10.0.0.7:7200"""

IMPORT_EPILOG = """Examples:

rsq-agent import git-rsclip-base-3.rsq --vram 2GB

rsq-agent import git-rsclip-base-3.rsq --plan"""

Vram = Annotated[
    str | None,
    typer.Option(
        "--vram",
        help="Memory for the chosen artifacts together: 2GB, 512MiB. Default: no limit.",
        metavar="SIZE",
    ),
]
OneTower = Annotated[str | None, typer.Option("--tower", help="Only this tower: vision or text.")]
MaxBatch = Annotated[
    int, typer.Option("--max-batch", help="Largest batch to be served.", min=1, max=256)
]
Pin = Annotated[
    str | None, typer.Option("--pin", help="Take this variant, such as int8.", metavar="VARIANT")
]
PlanOnly = Annotated[
    bool, typer.Option("--plan", help="Say what would be chosen and moved; move nothing.")
]


def pull(
    reference: Annotated[str, typer.Argument(metavar="NAME", help="NAME, NAME:3 or NAME@alias.")],
    vram: Vram = None,
    tower: OneTower = None,
    max_batch: MaxBatch = 8,
    pin: Pin = None,
    plan_only: PlanOnly = False,
    limit_rate: Annotated[
        str | None,
        typer.Option("--limit-rate", help="Bytes a second at most: 500KB, 4MB.", metavar="SIZE"),
    ] = None,
    mirrors: Annotated[
        list[str] | None,
        typer.Option(
            "--mirror",
            help="An agent that serves with --mirror, asked before the server; may be repeated.",
            metavar="HOST:PORT",
        ),
    ] = None,
    server: Server = DEFAULT_SERVER,
    agent: AgentAddress = DEFAULT_LISTEN,
    as_json: Json = False,
) -> None:
    """Fetch the most accurate artifacts that fit, prove them here, and activate them."""
    from rsq.rpc.registry import RegistryClient
    from rsq.units import parse_size

    config = build_config(server=server, listen=agent)
    request = _request(vram, tower, max_batch, pin)
    rate = parse_size(limit_rate) if limit_rate is not None else None
    with RegistryClient(config.server) as client:
        _carry_out(
            client,
            reference,
            request,
            config,
            mirrors=tuple(mirrors or ()),
            bytes_per_second=rate,
            reports_to=client,
            plan_only=plan_only,
            as_json=as_json,
        )


def import_bundle(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `rsq-server export` wrote.")],
    vram: Vram = None,
    tower: OneTower = None,
    max_batch: MaxBatch = 8,
    pin: Pin = None,
    plan_only: PlanOnly = False,
    agent: AgentAddress = DEFAULT_LISTEN,
    as_json: Json = False,
) -> None:
    """Do what pull does, from a file instead of a server."""
    from rsq.bundle import BundleReader

    config = build_config(listen=agent)
    request = _request(vram, tower, max_batch, pin)
    with BundleReader(file) as bundle:
        _carry_out(
            bundle,
            "",
            request,
            config,
            mirrors=(),
            bytes_per_second=None,
            reports_to=None,
            plan_only=plan_only,
            as_json=as_json,
        )


def _carry_out(
    origin: Origin,
    reference: str,
    request: Request,
    config: AgentConfig,
    *,
    mirrors: tuple[str, ...],
    bytes_per_second: int | None,
    reports_to: RegistryClient | None,
    plan_only: bool,
    as_json: bool,
) -> None:
    from rsq_agent.cache import Cache
    from rsq_agent.pull import plan_pull

    cache = Cache(config.home)
    plan = plan_pull(origin, cache, reference, request)
    if plan.version.deprecated is not None:
        name = f"{plan.version.model}:{plan.version.version}"
        print(f"{name} is deprecated: {plan.version.deprecated}", file=sys.stderr)
    if plan_only:
        _report(plan, plan.to_json(), as_json)
        return
    from rsq_agent.cli.pull_steps import Route, run_pull

    moved = run_pull(
        origin,
        cache,
        plan,
        request,
        config,
        route=Route(mirrors, bytes_per_second),
        reports_to=reports_to,
        quiet=as_json,
    )
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
