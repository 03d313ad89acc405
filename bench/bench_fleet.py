"""100 agents that pull one version from one server at once, over loopback: does health answer
throughout, do all finish, how even is it, and what memory does the server take?

The agents are threads of a few processes, each with a cache and a connection of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import psutil
from base_towers import cpu_name
from grpc_health.v1 import health_pb2, health_pb2_grpc
from programs import Programs
from stored_version import MODEL, fill_registry

from rsq.providers import CPU_PROVIDER
from rsq.resolve import Device, Request
from rsq.rpc.registry import RegistryClient
from rsq_agent.cache import Cache
from rsq_agent.pulling.pull import fetch_plan, plan_pull

REPOSITORY = Path(__file__).resolve().parent.parent
PROCESSES = 4
HEALTH_SECONDS = 0.25  # between two checks
HEALTH_DEADLINE_SECONDS = 5.0


def run(folder: Path, agents: int, size_bytes: int) -> dict[str, Any]:
    programs = Programs(folder / "home")
    fill_registry(programs.home, folder / "files", size_bytes=size_bytes)
    with programs.serve_registry():
        watch = Watch(programs.server)
        begun = time.perf_counter()
        done = [
            subprocess.Popen(
                [
                    sys.executable, __file__, "--pull-from", programs.server, "--into",
                    str(folder / f"fleet-{number}"), "--agents", str(agents // PROCESSES),
                ],
                stdout=subprocess.PIPE,
                text=True,
            )
            for number in range(PROCESSES)
        ]  # fmt: skip
        seconds = [value for process in done for value in json.loads(process.communicate()[0])]
        total = time.perf_counter() - begun
        watch.stop()
    middle = statistics.median(seconds)
    return {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "agents": agents,
        "processes": PROCESSES,
        "size_bytes": size_bytes,
        "finished": len(seconds),
        "seconds": total,
        "median_seconds": middle,
        "slowest_seconds": max(seconds),
        "slowest_of_median": max(seconds) / middle,
        "bytes_per_second": len(seconds) * size_bytes / total,
        "health_checks": len(watch.health_ms),
        "health_failures": watch.failures,
        "health_p50_ms": statistics.median(watch.health_ms),
        "health_max_ms": max(watch.health_ms),
        "server_before_bytes": watch.before_bytes,
        "server_peak_bytes": watch.peak_bytes,
    }


class Watch:
    """Asks for the server's health and memory until it is stopped."""

    def __init__(self, address: str) -> None:
        self.health_ms: list[float] = []
        self.failures = 0
        self._server = _listening_process(int(address.rpartition(":")[2]))
        self.before_bytes = self.peak_bytes = self._server.memory_info().rss
        self._channel = grpc.insecure_channel(address)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        stub = health_pb2_grpc.HealthStub(self._channel)
        request = health_pb2.HealthCheckRequest()
        while not self._stop.wait(HEALTH_SECONDS):
            begun = time.perf_counter()
            try:
                stub.Check(request, timeout=HEALTH_DEADLINE_SECONDS)
                self.health_ms.append(1e3 * (time.perf_counter() - begun))
            except grpc.RpcError:
                self.failures += 1
            self.peak_bytes = max(self.peak_bytes, self._server.memory_info().rss)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        self._channel.close()


def _listening_process(port: int) -> psutil.Process:
    for connection in psutil.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
            return psutil.Process(connection.pid)
    raise RuntimeError(f"nothing listens on port {port}")


def pull_all(server: str, folder: Path, agents: int) -> list[float]:
    request = Request(Device("cpu", (CPU_PROVIDER,)), ("vision",))

    def pull(number: int) -> float:
        cache = Cache(folder / str(number))
        begun = time.perf_counter()
        with RegistryClient(server) as client:
            plan = plan_pull(client, cache, MODEL, request)
            fetch_plan(client, cache, plan, on_bytes=lambda count: None, readers=4)
        return time.perf_counter() - begun

    with ThreadPoolExecutor(agents) as pool:
        return list(pool.map(pull, range(agents)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents", type=int, default=100)
    parser.add_argument("--megabytes", type=int, default=20)
    parser.add_argument("--pull-from", help=argparse.SUPPRESS)
    parser.add_argument("--into", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "bench/results/fleet.json")
    options = parser.parse_args()
    if options.pull_from:
        print(json.dumps(pull_all(options.pull_from, options.into, options.agents)))
        return
    with tempfile.TemporaryDirectory() as name:
        found = run(Path(name), options.agents, options.megabytes * 10**6)
    print(
        f"{found['finished']} of {found['agents']} agents finished in {found['seconds']:.1f} s, "
        f"{found['bytes_per_second'] / 1e6:.0f} MB/s together; slowest "
        f"{found['slowest_of_median']:.2f} times the median; health failed "
        f"{found['health_failures']} of {found['health_checks']} times, median "
        f"{found['health_p50_ms']:.1f} ms, worst {found['health_max_ms']:.0f} ms; server "
        f"{found['server_before_bytes'] / 1e6:.0f} MB, at its peak "
        f"{found['server_peak_bytes'] / 1e6:.0f} MB"
    )
    options.out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
