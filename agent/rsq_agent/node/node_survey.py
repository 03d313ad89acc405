"""How `rsq-agent doctor` looks at its node. Every look is taken; what fails becomes a fact."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from rsq.errors import EnvironmentFault, RsqError
from rsq.onnx_session import import_onnxruntime
from rsq.providers import ONNX_PROVIDERS, TENSORRT_PROVIDER
from rsq.rpc.addresses import split_address
from rsq.rpc.agent import find_agent
from rsq.rpc.endpoint import Target
from rsq.rpc.registry import RegistryClient
from rsq.tensorrt import has_tensorrt
from rsq_agent.config import AgentConfig
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

TRIAL_SECONDS = 120.0  # TensorRT builds an engine


def collect_facts(config: AgentConfig) -> NodeFacts:
    runtime = find_runtime()
    server = ask_server(config.server)
    return NodeFacts(
        gpu=find_gpu(),
        runtime=runtime,
        trials=tuple(try_provider(name) for name in runtime.providers),
        clock=ClockFacts(time.time(), Path(__file__).stat().st_mtime, server.newest_seen),
        disk=look_at_disk(config.home),
        permissions=look_at_permissions(config.home),
        server=server,
        port=look_at_port(config.agent),
    )


def find_gpu(nvml: Any = None) -> GpuFacts:
    """`nvml` is the module `pynvml` or what stands for it."""
    if nvml is None:
        try:
            import pynvml
        except ImportError:
            return GpuFacts(fault="nvidia-ml-py is not installed")
        nvml = pynvml
    try:
        nvml.nvmlInit()
        try:
            handles = map(nvml.nvmlDeviceGetHandleByIndex, range(nvml.nvmlDeviceGetCount()))
            names = tuple(str(nvml.nvmlDeviceGetName(handle)) for handle in handles)
            version = int(nvml.nvmlSystemGetCudaDriverVersion())
            driver = str(nvml.nvmlSystemGetDriverVersion())
        finally:
            nvml.nvmlShutdown()
    except nvml.NVMLError as e:
        return GpuFacts(fault=str(e))
    if not names:
        return GpuFacts(fault="the driver runs but lists none")
    return GpuFacts(names, driver, (version // 1000, version % 1000 // 10))


def find_runtime() -> RuntimeFacts:
    names = {str(found.metadata["Name"]).lower() for found in distributions()}
    flavours = tuple(
        sorted(name for name in names if name == "onnxruntime" or name.startswith("onnxruntime-"))
    )
    try:
        ort = import_onnxruntime()
        listed = ort.get_available_providers()
    except (EnvironmentFault, AttributeError, OSError) as e:  # of a half-removed flavour
        return RuntimeFacts(flavours=flavours, fault=f"ONNX Runtime can't be used: {e}")
    return RuntimeFacts(
        version=str(ort.__version__),
        flavours=flavours,
        cuda_version=str(getattr(ort, "cuda_version", "")),
        providers=tuple(name for name in ONNX_PROVIDERS if name in listed),
    )


def try_provider(provider: str) -> ProviderTrial:
    """In a process of its own, which a broken driver may take down."""
    if provider == TENSORRT_PROVIDER and not has_tensorrt():
        return ProviderTrial(provider, 0.0, "TensorRT's libraries are not installed.")
    started = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "rsq_agent.node.provider_trial", provider],
            capture_output=True,
            text=True,
            timeout=TRIAL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return ProviderTrial(provider, TRIAL_SECONDS, "It did not answer in time.")
    seconds = time.monotonic() - started
    if done.returncode == 0:
        return ProviderTrial(provider, seconds)
    fault = done.stdout.strip() or f"The process that tried it died (exit {done.returncode})."
    return ProviderTrial(provider, seconds, fault)


def look_at_disk(home: Path) -> DiskFacts:
    """Makes the folder if need be; nothing is left in it."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        places = [home, *(path for path in home.iterdir() if path.is_dir())]
        with tempfile.NamedTemporaryFile(dir=home, prefix=".doctor-") as probe:
            links_work = all(_can_link(Path(probe.name), place) for place in places)
        status = os.statvfs(home)
    except OSError as e:
        return DiskFacts(str(home), fault=e.strerror or str(e))
    return DiskFacts(str(home), status.f_bavail * status.f_frsize, links_work)


def _can_link(probe: Path, folder: Path) -> bool:
    link = folder / f"{probe.name}.link"
    try:
        os.link(probe, link)
    except OSError:
        return False
    link.unlink()
    return True


def look_at_permissions(home: Path) -> PermissionFacts:
    """Of the folder, or of the nearest one above it that there is."""
    folder = home
    while not folder.exists():
        folder = folder.parent
    status = folder.stat()
    is_foreign = folder == home and status.st_uid != os.geteuid()
    return PermissionFacts(str(folder), status.st_mode & 0o777, is_foreign)


def ask_server(target: Target) -> ServerFacts:
    address = str(target)
    try:
        with RegistryClient(target) as client:
            models = len(client.models())
            seen = [_to_seconds(node.seen_at) for node in client.nodes()]
    except RsqError as e:
        return ServerFacts(address, fault=e.message)
    return ServerFacts(address, models, max(seen, default=0.0))


def _to_seconds(moment: str) -> float:
    try:
        return datetime.fromisoformat(moment).timestamp()
    except ValueError:
        return 0.0


def look_at_port(target: Target) -> PortFacts:
    """Raises BadInput for what is not HOST:PORT."""
    address = str(target)
    host, port = split_address(address)
    try:
        status = find_agent(target)
    except RsqError as e:
        return PortFacts(address, fault=e.message)
    if status is not None:
        served = f"{status.model}:{status.version}" if status.model else "nothing"
        return PortFacts(address, f"{status.state}, {served} (rsq-agent {status.agent_version})")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as found:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind((host, port))
    except OSError as e:
        return PortFacts(address, fault=f"{address} can't be listened on ({e.strerror}).")
    return PortFacts(address)
