"""`rsq-agent status`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from rsq.connection_options import agent_endpoint
from rsq.rpc.endpoint import Target
from rsq_agent.cli.options import AgentAddress, Json
from rsq_agent.config import DEFAULT_LISTEN

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

    from rsq.wire.agent import AgentStatus, ModelStatus

EPILOG = """Examples:

rsq-agent status

rsq-agent status --watch

rsq-agent status --json"""

WATCH_SECONDS = 1.0
WIDEST_TABLE = 160  # characters, where no terminal sets a width


def status(
    agent: AgentAddress = DEFAULT_LISTEN,
    as_json: Json = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it again every second, until Ctrl-C.")
    ] = False,
) -> None:
    """Say what the running agent serves, how fast, and in how much memory."""
    from rich.console import Console

    from rsq.errors import BadInput
    from rsq.rpc.agent import read_status

    if as_json and watch:
        raise BadInput("--json prints one status and --watch shows many; leave one of them out.")
    endpoint = agent_endpoint(agent)
    console = Console()
    if not console.is_terminal:
        console.width = WIDEST_TABLE
    if watch:
        watch_status(endpoint, read_status, console=console, pause=time.sleep)
    elif as_json:
        print(json.dumps(asdict(read_status(endpoint)), indent=2))
    else:
        console.print(render_status(read_status(endpoint)))


def watch_status(
    agent: Target,
    read: Callable[[Target], AgentStatus],
    *,
    console: Console,
    pause: Callable[[float], None],
) -> None:
    """Shows what `read` gives until Ctrl-C. An agent that is away is waited for."""
    from rich.live import Live
    from rich.text import Text

    from rsq.errors import RsqError

    with Live(console=console, auto_refresh=False) as live:
        try:
            while True:
                try:
                    shown = render_status(read(agent))
                except RsqError as e:
                    shown = Text(f"{e.message} Waiting for it; Ctrl-C ends.")
                live.update(shown, refresh=True)
                pause(WATCH_SECONDS)
        except KeyboardInterrupt:
            return


def render_status(found: AgentStatus) -> RenderableType:
    """The node on two lines, then each model with a row a tower."""
    from rich.console import Group
    from rich.text import Text

    from rsq.units import format_seconds, format_size

    served = f"{found.model}:{found.version}" if found.model else "nothing"
    memory = f"{format_size(found.resident_bytes)} resident"
    if found.device_bytes:
        memory += f", {format_size(found.device_bytes)} on the device"
    # Text, because names must not be read as markup.
    parts: list[RenderableType] = [
        Text(
            f"{found.state}: {served} on node {found.node_id[:12]} "
            f"(rsq-agent {found.agent_version}), up {format_seconds(found.uptime_seconds)}"
        ),
        Text(f"{found.device}, {memory}"),
    ]
    for model in found.models:
        parts += [Text(), Text(_describe(model))]
        targets = [
            f"{tower.tower} {tower.latency_target_ms:.0f} ms"
            for tower in model.towers
            if tower.latency_target_ms
        ]
        if targets:
            parts.append(Text(f"latency target: {', '.join(targets)}"))
        if model.towers:
            parts.append(_tower_table(model))
    return Group(*parts)


def _describe(model: ModelStatus) -> str:
    from rsq.units import format_seconds, format_size

    facts = [model.state]
    if model.towers:
        facts.append(f"idle for {format_seconds(model.idle_seconds)}")
    if model.budget_bytes:
        facts.append(f"budget {format_size(model.budget_bytes)}")
    facts.append(
        f"rollback to version {model.previous_version}"
        if model.previous_version
        else "no version before"
    )
    return f"{model.model}:{model.version}: {', '.join(facts)}"


def _tower_table(model: ModelStatus) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    # Titles of two lines, so that a terminal of 80 columns has room for all.
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for title in ("tower", "variant", "provider"):
        table.add_column(title, overflow="fold")
    for title in (
        "work-\ners",
        "batch\n/max",
        "queue",
        "p50\nms",
        "p99\nms",
        "items",
        "refu-\nsed",
    ):
        table.add_column(title, justify="right", overflow="fold")
    for tower in model.towers:
        cells = (
            tower.tower,
            tower.variant,
            tower.provider.removesuffix("ExecutionProvider"),
            f"{tower.workers}x{tower.threads}",
            f"{tower.mean_batch:.1f}/{tower.max_batch}",
            str(tower.waiting),
            f"{tower.p50_ms:.1f}",
            f"{tower.p99_ms:.1f}",
            str(tower.items),
            str(tower.refused),
        )
        table.add_row(*(Text(cell) for cell in cells))
    return table
