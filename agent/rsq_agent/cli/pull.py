"""`rsq-agent pull` and `rsq-agent import`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rsq.connection_options import agent_endpoint, mirror_endpoint, server_endpoint
from rsq.rpc.endpoint import Target
from rsq_agent.cli.options import AgentAddress, AllowCpu, Json, Server, build_config
from rsq_agent.cli.pull_options import (
    Explain,
    MaxBatch,
    MinAccuracy,
    OneTower,
    Pin,
    PlanOnly,
    Reserve,
    Vram,
    VramText,
    VramVision,
    WantedObjective,
    build_request,
    parse_reserve,
)
from rsq_agent.cli.trusting import TrustedRoot, open_bundle_trust, open_server_trust
from rsq_agent.config import DEFAULT_LISTEN, DEFAULT_SERVER

if TYPE_CHECKING:
    from rsq.resolve import Request
    from rsq.rpc.registry import RegistryClient
    from rsq_agent.cache import Cache
    from rsq_agent.cli.trusting import Vouch
    from rsq_agent.config import AgentConfig
    from rsq_agent.pulling.sources import Origin

EPILOG = """Examples:

rsq-agent pull git-rsclip-base --vram 2GB

rsq-agent pull git-rsclip-base@staging --vram 600MB --plan --explain

rsq-agent pull git-rsclip-base --vram 600MB --objective latency --min-accuracy 98%

rsq-agent pull git-rsclip-base:3 --tower text --json

rsq-agent pull git-rsclip-base --limit-rate 500KB --mirror 10.0.0.7:7200"""

IMPORT_EPILOG = """Examples:

rsq-agent import git-rsclip-base-3.rsq --vram 2GB

rsq-agent import git-rsclip-base-3.rsq --plan"""


def pull(
    reference: Annotated[str, typer.Argument(metavar="NAME", help="NAME, NAME:3 or NAME@alias.")],
    vram: Vram = None,
    vram_vision: VramVision = None,
    vram_text: VramText = None,
    reserve: Reserve = None,
    tower: OneTower = None,
    max_batch: MaxBatch = 8,
    objective: WantedObjective = "accuracy",
    min_accuracy: MinAccuracy = None,
    pin: Pin = None,
    plan_only: PlanOnly = False,
    explain: Explain = False,
    allow_cpu: AllowCpu = False,
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
    root: TrustedRoot = None,
    server: Server = DEFAULT_SERVER,
    agent: AgentAddress = DEFAULT_LISTEN,
    as_json: Json = False,
) -> None:
    """Fetch the best artifacts that fit, prove them here, and activate them."""
    from rsq.rpc.registry import RegistryClient
    from rsq.units import parse_size
    from rsq_agent.cache import Cache

    config = build_config(
        server=server_endpoint(server), agent=agent_endpoint(agent), allow_cpu=allow_cpu
    )
    cache = Cache(config.home)
    request = build_request(
        cache,
        vram=vram,
        vram_vision=vram_vision,
        vram_text=vram_text,
        reserve=reserve,
        tower=tower,
        max_batch=max_batch,
        objective=objective,
        min_accuracy=min_accuracy,
        pin=pin,
    )
    rate = parse_size(limit_rate) if limit_rate is not None else None
    with (
        RegistryClient(config.server) as client,
        open_server_trust(config, root=root) as vouch,
    ):
        _carry_out(
            client,
            vouch,
            reference,
            request,
            config,
            cache,
            mirrors=tuple(mirror_endpoint(mirror) for mirror in mirrors or ()),
            bytes_per_second=rate,
            reserve_bytes=parse_reserve(reserve),
            reports_to=client,
            plan_only=plan_only,
            explain=explain,
            as_json=as_json,
        )


def import_bundle(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `rsq-server export` wrote.")],
    vram: Vram = None,
    vram_vision: VramVision = None,
    vram_text: VramText = None,
    reserve: Reserve = None,
    tower: OneTower = None,
    max_batch: MaxBatch = 8,
    objective: WantedObjective = "accuracy",
    min_accuracy: MinAccuracy = None,
    pin: Pin = None,
    plan_only: PlanOnly = False,
    explain: Explain = False,
    allow_cpu: AllowCpu = False,
    root: TrustedRoot = None,
    agent: AgentAddress = DEFAULT_LISTEN,
    as_json: Json = False,
) -> None:
    """Do what pull does, from a file instead of a server."""
    from rsq.bundle import BundleReader
    from rsq_agent.cache import Cache

    config = build_config(agent=agent_endpoint(agent), allow_cpu=allow_cpu)
    cache = Cache(config.home)
    request = build_request(
        cache,
        vram=vram,
        vram_vision=vram_vision,
        vram_text=vram_text,
        reserve=reserve,
        tower=tower,
        max_batch=max_batch,
        objective=objective,
        min_accuracy=min_accuracy,
        pin=pin,
    )
    with BundleReader(file) as bundle, open_bundle_trust(config, bundle, root=root) as vouch:
        _carry_out(
            bundle,
            vouch,
            "",
            request,
            config,
            cache,
            mirrors=(),
            bytes_per_second=None,
            reserve_bytes=parse_reserve(reserve),
            reports_to=None,
            plan_only=plan_only,
            explain=explain,
            as_json=as_json,
        )


def _carry_out(
    origin: Origin,
    vouch: Vouch,
    reference: str,
    request: Request,
    config: AgentConfig,
    cache: Cache,
    *,
    mirrors: tuple[Target, ...],
    bytes_per_second: int | None,
    reserve_bytes: int | None,
    reports_to: RegistryClient | None,
    plan_only: bool,
    explain: bool,
    as_json: bool,
) -> None:
    from rsq_agent.cli.pull_report import find_memory, report
    from rsq_agent.pulling.pull import plan_pull

    plan = plan_pull(origin, cache, reference, request, vouch=vouch)
    if plan.version.deprecated is not None:
        name = f"{plan.version.model}:{plan.version.version}"
        print(f"{name} is deprecated: {plan.version.deprecated}", file=sys.stderr)
    memory = find_memory(request.device.device_class) if explain else None
    if plan_only:
        report(plan, plan.to_json(), request, memory, as_json=as_json)
        return
    from rsq_agent.cli.pull_steps import Route, run_pull

    moved = run_pull(
        origin,
        cache,
        plan,
        request,
        config,
        route=Route(mirrors, bytes_per_second),
        reserve_bytes=reserve_bytes,
        reports_to=reports_to,
        quiet=as_json,
    )
    result = plan.to_json()
    result["bytes_fetched"] = moved
    del result["bytes_to_fetch"]
    report(plan, result, request, memory, as_json=as_json)
