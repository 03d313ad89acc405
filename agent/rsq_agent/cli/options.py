"""Options that several commands share. The environment is read here and nowhere else."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated

import typer

from rsq.rpc.endpoint import Target
from rsq.rpc.limits import NO_LIMITS, Limits
from rsq.watchdog import Watchdog
from rsq_agent.config import DEFAULT_LISTEN, DEFAULT_SERVER, AgentConfig

if TYPE_CHECKING:
    from rsq.manifest import Tower
    from rsq.tls import ServerTls

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Server = Annotated[
    str, typer.Option("--server", help="The registry server, HOST:PORT.", metavar="HOST:PORT")
]
AgentAddress = Annotated[
    str, typer.Option("--agent", help="The running agent, HOST:PORT.", metavar="HOST:PORT")
]
AllowCpu = Annotated[
    bool,
    typer.Option(
        "--allow-cpu",
        help="Run on the CPU what the GPU's or OpenVINO's runtime can't. Default: that is an "
        "error.",
    ),
]
Collection = Annotated[str, typer.Option("--collection", help="Name of the collection.")]


def home_folder() -> Path:
    """RSQ_HOME/agent, or the platform's data folder."""
    home = os.environ.get("RSQ_HOME")
    if home:
        return Path(home).expanduser() / "agent"
    from platformdirs import user_data_path

    return user_data_path("rsq") / "agent"


def build_config(
    *,
    server: Target = DEFAULT_SERVER,
    agent: Target = DEFAULT_LISTEN,
    listen: str = DEFAULT_LISTEN,
    threads: int = 0,
    reports: bool = False,
    insecure: bool = False,
    tls: ServerTls | None = None,
    require_token: bool = False,
    limits: Limits = NO_LIMITS,
    allow_cpu: bool = False,
    mirror: bool = False,
    metrics: str | None = None,
    http: str | None = None,
    collections: str | None = None,
    roots: tuple[Path, ...] = (),
    otel: bool = False,
    vram_bytes: int | None = None,
    idle_unload_seconds: float = 0.0,
    watch_seconds: float = 60.0,
    latency_targets: Mapping[Tower, float] = MappingProxyType({}),
) -> AgentConfig:
    """`threads` 0 means the cores this process may use. The environment may ask for `otel` too; a
    node without OpenTelemetry then does without, since other programs share that variable."""
    from rsq_agent.tracing import is_installed

    return AgentConfig(
        home=home_folder(),
        threads=threads or len(os.sched_getaffinity(0)),
        server=server,
        agent=agent,
        listen=listen,
        reports=reports,
        insecure=insecure,
        tls=tls,
        require_token=require_token,
        limits=limits,
        allow_cpu=allow_cpu,
        mirror=mirror,
        metrics=metrics,
        http=http,
        vram_bytes=vram_bytes,
        idle_unload_seconds=idle_unload_seconds,
        watch_seconds=watch_seconds,
        latency_targets=latency_targets,
        collections=collections,
        roots=roots,
        otel=otel or ("OTEL_EXPORTER_OTLP_ENDPOINT" in os.environ and is_installed()),
    )


def open_watchdog(answers: Callable[[], bool]) -> Watchdog:
    """Tells systemd of this process, where systemd started it."""
    return Watchdog(os.environ, answers=answers)
