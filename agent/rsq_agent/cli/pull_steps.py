"""The moving part of `pull` and `import`: fetch, prove, activate, report, with progress on
stderr."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from filelock import FileLock, Timeout
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from rsq.errors import RsqError
from rsq.providers import short_name
from rsq.records import Profile
from rsq.resolve import Request
from rsq.rpc.endpoint import Target
from rsq.rpc.registry import RegistryClient
from rsq_agent.cache import Cache
from rsq_agent.cli.hand_over import hand_over
from rsq_agent.config import AgentConfig
from rsq_agent.inference.tower_rules import tower_rules
from rsq_agent.pulling.pull import (
    PullPlan,
    check_budget,
    fetch_plan,
    node_report,
    prove,
    to_activation,
)
from rsq_agent.pulling.sources import ChunkSource
from rsq_agent.state import load_state, node_id


@dataclass(frozen=True)
class Route:
    """How the bytes come: mirrors (HOST:PORT) are asked before the origin, all together send at
    most `bytes_per_second`."""

    mirrors: tuple[Target, ...] = ()
    bytes_per_second: int | None = None


def run_pull(
    origin: ChunkSource,
    cache: Cache,
    plan: PullPlan,
    request: Request,
    config: AgentConfig,
    *,
    route: Route,
    reserve_bytes: int | None,
    reports_to: RegistryClient | None,
    quiet: bool,
) -> int:
    """Carries out `plan` under the node's pull lock and returns the bytes that crossed the network.
    What was measured is told to the server `reports_to`. `reserve_bytes` is as for
    `to_activation`."""
    console = Console(stderr=True, quiet=quiet)
    cache.home.mkdir(parents=True, exist_ok=True)
    lock = FileLock(cache.home / "pull.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        console.print("Another pull is running on this node; waiting for it.")
        lock.acquire()
    try:
        # 1. Fetch what is not here yet.
        moved = _fetch(origin, cache, plan, config, route, console)
        # 2. Prove and measure each artifact in a process of its own.
        profiles = _prove(cache, plan, request, config, console)
        # 3. Hand over to the running agent, which proves again before it swaps; or remember.
        activation = to_activation(plan, request, reserve_bytes=reserve_bytes)
        try:
            check_budget(plan, profiles, request)
            hand_over(cache, activation, profiles, agent=config.agent, console=console)
        finally:
            # 4. Tell the server what was measured, also when it was too much.
            if reports_to is not None:
                _tell(reports_to, cache, request, profiles, console)
        return moved
    finally:
        lock.release()


def _fetch(
    origin: ChunkSource,
    cache: Cache,
    plan: PullPlan,
    config: AgentConfig,
    route: Route,
    console: Console,
) -> int:
    with ExitStack() as stack:
        mirrors: Sequence[ChunkSource] = [
            stack.enter_context(RegistryClient(address)) for address in route.mirrors
        ]
        progress = stack.enter_context(
            Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                DownloadColumn(),
                TransferSpeedColumn(),
                TimeRemainingColumn(),
                console=console,
                disable=not sys.stderr.isatty() or console.quiet,
                transient=True,
            )
        )
        task = progress.add_task("Fetching", total=plan.bytes_to_fetch)
        return fetch_plan(
            origin,
            cache,
            plan,
            on_bytes=lambda count: progress.advance(task, count),
            readers=config.readers,
            mirrors=mirrors,
            bytes_per_second=route.bytes_per_second,
            on_bad_mirror=lambda error: console.print(error.message),
        )


def _prove(
    cache: Cache, plan: PullPlan, request: Request, config: AgentConfig, console: Console
) -> list[Profile]:
    profiles: list[Profile] = []
    batches = tuple(sorted({1, request.max_batch}))
    sizes = {artifact: manifest.size_bytes for artifact, manifest in plan.manifests.items()}
    for choice in plan.resolution.chosen:
        where = short_name(choice.provider)
        console.print(f"Proving {choice.tower} {choice.variant} on {where} ...")
        profiles += prove(
            cache,
            choice,
            device=request.device,
            batches=batches,
            threads=config.threads,
            source=f"node:{node_id(cache)}",
            rules=tower_rules(
                cache,
                choice.id,
                sizes,
                budget_bytes=request.available_bytes,
                allow_cpu=config.allow_cpu,
            ),
            on_notice=console.print,
        )
    return profiles


def _tell(
    client: RegistryClient,
    cache: Cache,
    request: Request,
    profiles: list[Profile],
    console: Console,
) -> None:
    state = load_state(cache)
    active = state.activation(None) if state.current is not None else None
    try:
        client.report_node(node_report(cache, request.device, active, profiles))
    except RsqError as e:
        console.print(f"Not reported to the server: {e}")
