"""What `rsq-agent doctor` knows of its node, as `rsq_agent.node.node_survey` found it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GpuFacts:
    """By NVML. `fault` says why there is nothing to tell."""

    names: tuple[str, ...] = ()
    driver_version: str = ""
    cuda_version: tuple[int, int] = (0, 0)  # the newest that the driver runs
    fault: str | None = None


@dataclass(frozen=True)
class RuntimeFacts:
    """`flavours` are the wheels that bring the module onnxruntime; `cuda_version` is what it was
    built for, empty without CUDA."""

    version: str = ""
    flavours: tuple[str, ...] = ()
    cuda_version: str = ""
    providers: tuple[str, ...] = ()
    fault: str | None = None


@dataclass(frozen=True)
class ProviderTrial:
    """A session opened and run in a process of its own. `fault` is a sentence."""

    provider: str
    seconds: float
    fault: str | None = None


@dataclass(frozen=True)
class ClockFacts:
    """Seconds since 1970. The server's clock is at least at its newest record; 0 without one."""

    now: float
    installed_at: float
    newest_seen: float = 0.0


@dataclass(frozen=True)
class DiskFacts:
    home: str
    free_bytes: int = 0
    links_work: bool = True
    fault: str | None = None


@dataclass(frozen=True)
class PermissionFacts:
    folder: str
    mode: int  # permission bits
    is_foreign: bool  # of another user than this process


@dataclass(frozen=True)
class ServerFacts:
    address: str
    models: int = 0
    newest_seen: float = 0.0  # seconds since 1970
    fault: str | None = None


@dataclass(frozen=True)
class PortFacts:
    """`agent` says what runs there, if one does."""

    address: str
    agent: str | None = None
    fault: str | None = None


@dataclass(frozen=True)
class NodeFacts:
    gpu: GpuFacts
    runtime: RuntimeFacts
    trials: tuple[ProviderTrial, ...]
    clock: ClockFacts
    disk: DiskFacts
    permissions: PermissionFacts
    server: ServerFacts
    port: PortFacts
