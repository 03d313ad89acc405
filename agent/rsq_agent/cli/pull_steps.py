"""The moving part of `rsq-agent pull`: fetch, prove, activate, report, with progress on stderr."""

from __future__ import annotations

import sys

from filelock import FileLock, Timeout
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from rsq.errors import RsqError
from rsq.records import Profile
from rsq.resolve import Request
from rsq.rpc.agent import activate, find_agent
from rsq.rpc.registry import RegistryClient
from rsq_agent.cache import Cache
from rsq_agent.config import AgentConfig
from rsq_agent.pull import (
    PullPlan,
    check_budget,
    fetch_plan,
    node_report,
    prove,
    to_activation,
)
from rsq_agent.state import load_state, node_id, save_state


def run_pull(
    client: RegistryClient,
    cache: Cache,
    plan: PullPlan,
    request: Request,
    config: AgentConfig,
    *,
    quiet: bool,
) -> int:
    """Carries out `plan` under the node's pull lock and returns the bytes moved."""
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
        moved = _fetch(client, cache, plan, config, console)
        # 2. Prove and measure each artifact in a process of its own.
        profiles = _prove(cache, plan, request, config, console)
        # 3. Hand over to the running agent, which proves again before it swaps; or remember.
        activation = to_activation(plan, request)
        try:
            check_budget(plan, profiles, request)
            if find_agent(config.listen) is not None:
                activate(
                    config.listen,
                    model=activation.model,
                    version=activation.version,
                    artifact_ids=activation.artifacts,
                    providers=activation.providers,
                    max_batch=activation.max_batch,
                    budget_bytes=activation.budget_bytes,
                )
                console.print(f"The agent at {config.listen} serves it now.")
            else:
                save_state(cache, load_state(cache).activate(activation))
        finally:
            # 4. Tell the server what was measured, also when it was too much.
            _tell(client, cache, request, profiles, console)
        return moved
    finally:
        lock.release()


def _fetch(
    client: RegistryClient, cache: Cache, plan: PullPlan, config: AgentConfig, console: Console
) -> int:
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=console,
        disable=not sys.stderr.isatty() or console.quiet,
        transient=True,
    ) as progress:
        task = progress.add_task("Fetching", total=plan.bytes_to_fetch)
        return fetch_plan(
            client,
            cache,
            plan,
            readers=config.readers,
            on_bytes=lambda count: progress.advance(task, count),
        )


def _prove(
    cache: Cache, plan: PullPlan, request: Request, config: AgentConfig, console: Console
) -> list[Profile]:
    profiles: list[Profile] = []
    batches = tuple(sorted({1, request.max_batch}))
    for choice in plan.resolution.chosen:
        console.print(f"Proving {choice.tower} {choice.variant} on {choice.provider} ...")
        profiles += prove(
            cache,
            choice,
            device=request.device,
            batches=batches,
            threads=config.threads,
            source=f"node:{node_id(cache)}",
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
