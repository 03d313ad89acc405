"""What `rsq-agent doctor` finds good, doubtful or broken: one function a check, each from facts to
a verdict, without a look at the machine (`rsq_agent.node.node_survey` takes that)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from rsq.providers import CPU_PROVIDER, CUDA_PROVIDER, TENSORRT_PROVIDER, short_name
from rsq.units import format_seconds, format_size
from rsq_agent.node.node_facts import (
    ClockFacts,
    DiskFacts,
    GpuFacts,
    NodeFacts,
    PermissionFacts,
    PortFacts,
    ProviderTrial,
    RuntimeFacts,
    ServerFacts,
)

LOW_DISK_BYTES = 2 * 10**9  # an INT8 pair with its tokenizer, and the version before it
NO_DISK_BYTES = 200 * 10**6
CLOCK_SECONDS = 60.0  # what clocks of two healthy machines may differ by


class State(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Check:
    """`message` says in one sentence what was found and, unless it is good, what to do."""

    name: str
    state: State
    message: str


def judge_node(facts: NodeFacts) -> list[Check]:
    return [
        check_driver(facts.gpu, facts.runtime),
        check_runtime(facts.runtime),
        *check_providers(facts.trials, facts.gpu),
        check_clock(facts.clock),
        *check_disk(facts.disk),
        check_permissions(facts.permissions),
        check_server(facts.server),
        check_port(facts.port),
    ]


def check_driver(gpu: GpuFacts, runtime: RuntimeFacts) -> Check:
    if gpu.fault is not None:
        if runtime.cuda_version:
            return Check(
                "driver",
                State.FAIL,
                f"ONNX Runtime is built for CUDA, but NVML finds no GPU ({gpu.fault}): install "
                "NVIDIA's driver, give the container the GPU, or install rsq-agent[cpu].",
            )
        return Check("driver", State.OK, "No NVIDIA GPU, and none is needed.")
    found = (
        f"{', '.join(gpu.names)} with driver {gpu.driver_version}, which runs CUDA "
        f"{gpu.cuda_version[0]}.{gpu.cuda_version[1]}"
    )
    if runtime.fault is not None:
        return Check("driver", State.OK, f"{found}.")
    if not runtime.cuda_version:
        return Check(
            "driver",
            State.WARN,
            f"{found}; ONNX Runtime is not built for CUDA, so install rsq-agent[cuda] to use it.",
        )
    needed = int(runtime.cuda_version.split(".")[0])
    if gpu.cuda_version[0] < needed:
        return Check(
            "driver",
            State.FAIL,
            f"{found}; ONNX Runtime needs CUDA {needed}: install a newer driver, or a build of "
            f"onnxruntime-gpu for CUDA {gpu.cuda_version[0]}.",
        )
    return Check("driver", State.OK, f"{found}; ONNX Runtime needs CUDA {needed}.")


def check_runtime(runtime: RuntimeFacts) -> Check:
    name = "runtime"
    if len(runtime.flavours) > 1:
        return Check(
            name,
            State.FAIL,
            f"{' and '.join(runtime.flavours)} are installed together and overwrite each other: "
            "uninstall all of them, then install the one that this node needs.",
        )
    if runtime.fault is not None:
        return Check(name, State.FAIL, runtime.fault)
    if not runtime.flavours:
        return Check(
            name, State.OK, f"ONNX Runtime {runtime.version}, not from one of the known wheels."
        )
    return Check(name, State.OK, f"{runtime.flavours[0]} {runtime.version}.")


def check_providers(trials: Sequence[ProviderTrial], gpu: GpuFacts) -> list[Check]:
    """One for each provider that ONNX Runtime lists. TensorRT's absence is no fault: every CUDA
    build lists it, and few nodes have it."""
    return [_check_provider(trial, has_gpu=gpu.fault is None) for trial in trials]


def _check_provider(trial: ProviderTrial, *, has_gpu: bool) -> Check:
    name = f"provider {short_name(trial.provider)}"
    if trial.fault is None:
        return Check(name, State.OK, f"Opened a session and computed in {trial.seconds:.1f} s.")
    if trial.provider == TENSORRT_PROVIDER:
        return Check(
            name,
            State.WARN,
            f"Not usable, so it is left out: {trial.fault} Install TensorRT if you want it.",
        )
    if trial.provider == CUDA_PROVIDER and not has_gpu:
        return Check(name, State.FAIL, "Not usable without a GPU and its driver; see driver.")
    hint = (
        "Install CUDA and cuDNN for this build of ONNX Runtime."
        if trial.provider == CUDA_PROVIDER
        else "Install ONNX Runtime again."
    )
    state = State.FAIL if trial.provider in (CPU_PROVIDER, CUDA_PROVIDER) else State.WARN
    return Check(name, state, f"{trial.fault} {hint}")


def check_clock(clock: ClockFacts) -> Check:
    behind = max(clock.newest_seen - clock.now, clock.installed_at - clock.now)
    if behind > CLOCK_SECONDS:
        source = "the server" if clock.newest_seen > clock.installed_at else "the installation"
        return Check(
            "clock",
            State.FAIL,
            f"The clock is at least {format_seconds(behind)} behind {source}: set it, or start a "
            "time service.",
        )
    against = "the server's records" if clock.newest_seen else "the installation"
    return Check("clock", State.OK, f"Not behind {against}.")


def check_disk(disk: DiskFacts) -> list[Check]:
    if disk.fault is not None:
        message = (
            f"{disk.home} can't be written ({disk.fault}): give this user a folder by RSQ_HOME."
        )
        return [Check("disk", State.FAIL, message)]
    free = f"{format_size(disk.free_bytes)} free in {disk.home}"
    if disk.free_bytes < NO_DISK_BYTES:
        space = Check("disk", State.FAIL, f"{free}: make room, or run `rsq-agent cache prune`.")
    elif disk.free_bytes < LOW_DISK_BYTES:
        space = Check(
            "disk", State.WARN, f"{free}: a large model may not fit; try `rsq-agent cache prune`."
        )
    else:
        space = Check("disk", State.OK, f"{free}.")
    if disk.links_work:
        return [space]
    return [
        space,
        Check(
            "links",
            State.FAIL,
            f"Hard links don't work inside {disk.home}: put all of it on one file system that has "
            "them.",
        ),
    ]


def check_permissions(permissions: PermissionFacts) -> Check:
    name, folder = "permissions", permissions.folder
    if permissions.is_foreign:
        return Check(
            name,
            State.FAIL,
            f"{folder} belongs to another user: run as that user, or name another RSQ_HOME.",
        )
    if permissions.mode & 0o022:
        who = "everybody" if permissions.mode & 0o002 else "its group"
        return Check(
            name,
            State.WARN,
            f"{folder} can be written by {who}, who could replace models: chmod go-w {folder}",
        )
    return Check(name, State.OK, f"{folder} is written by its owner only.")


def check_server(server: ServerFacts) -> Check:
    if server.fault is not None:
        return Check(
            "server",
            State.WARN,
            f"{server.fault} Serving goes on without it; pull and watch need --server HOST:PORT.",
        )
    return Check("server", State.OK, f"{server.address} answers and has {server.models} models.")


def check_port(port: PortFacts) -> Check:
    if port.agent is not None:
        return Check("agent", State.OK, f"An agent runs at {port.address}: {port.agent}.")
    if port.fault is not None:
        return Check(
            "agent", State.FAIL, f"{port.fault} Stop it, or serve with another --listen HOST:PORT."
        )
    return Check("agent", State.OK, f"No agent runs; {port.address} is free for one.")
