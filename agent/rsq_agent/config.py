"""What the agent's commands pass in; built by the CLI, which alone reads the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rsq.rpc.endpoint import Target
from rsq.rpc.limits import NO_LIMITS, Limits

if TYPE_CHECKING:
    from rsq.manifest import Tower
    from rsq.tls import ServerTls

DEFAULT_SERVER = "127.0.0.1:7100"
DEFAULT_LISTEN = "127.0.0.1:7200"


@dataclass(frozen=True)
class AgentConfig:
    home: Path  # RSQ_HOME/agent
    threads: int  # cores that one tower may use
    server: Target = DEFAULT_SERVER
    agent: Target = DEFAULT_LISTEN  # the one that runs on this node
    listen: str = DEFAULT_LISTEN
    reports: bool = False  # tell the server what serves here
    insecure: bool = False  # allow binds beyond loopback without TLS and tokens
    tls: ServerTls | None = None
    require_token: bool = False  # on loopback too
    limits: Limits = NO_LIMITS  # of each caller
    allow_cpu: bool = False  # run on the CPU what the chosen provider can't
    mirror: bool = False  # give what was pulled to other nodes
    metrics: str | None = None  # HOST:PORT for Prometheus
    http: str | None = None  # HOST:PORT for embedding in OpenAI's shape
    collections: str | None = None  # URL of a Qdrant cluster; None: this node's disk
    roots: tuple[Path, ...] = ()  # below them the agent itself may read images
    otel: bool = False  # send traces by OpenTelemetry
    vram_bytes: int | None = None  # of all loaded models together; None: what the device has
    watch_seconds: float = 60.0  # between two looks at what an alias names
    idle_unload_seconds: float = 0.0  # without a request; 0: never
    readers: int = 4  # chunks in flight during a pull
    queue_items: int = 512  # waiting for a tower; more are refused
    queue_seconds: float = 1.0  # of work that may wait for a tower; beyond it callers are refused
    # Seconds within which a tower answers or refuses, by tower; then `queue_seconds` doesn't count.
    latency_targets: Mapping[Tower, float] = field(default_factory=dict)
