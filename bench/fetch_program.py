"""What `rsq-agent pull` does up to the last byte, without proving and activating the artifact:
`fetch_program.py SERVER HOME [--mirror HOST:PORT] [--limit BYTES]`. With `--root` only what is
signed is taken. Prints a line when the plan is made and JSON at the end."""

from __future__ import annotations

import argparse
import json
import re
import time
from contextlib import ExitStack
from pathlib import Path

from rsq.providers import CPU_PROVIDER
from rsq.resolve import Device, Request
from rsq.rpc.endpoint import Endpoint
from rsq.rpc.registry import RegistryClient
from rsq.tls import ClientTls
from rsq_agent.cache import Cache
from rsq_agent.cli.trusting import open_server_trust
from rsq_agent.config import AgentConfig
from rsq_agent.pulling.pull import fetch_plan, plan_pull


def main() -> None:
    # A child starts with its parent's peak; writing 5 to clear_refs sets it back.
    Path("/proc/self/clear_refs").write_text("5")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("server")
    parser.add_argument("home", type=Path)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--tower", default="vision")
    parser.add_argument("--variant")
    parser.add_argument("--mirror", action="append", default=[])
    parser.add_argument("--limit", type=int)
    parser.add_argument("--readers", type=int, default=4)
    parser.add_argument("--tls-ca", type=Path)
    parser.add_argument("--token-file", type=Path)
    parser.add_argument("--root", type=Path)
    options = parser.parse_args()
    cache = Cache(options.home)
    request = Request(Device("cpu", (CPU_PROVIDER,)), (options.tower,), pin=options.variant)
    tls = ClientTls(options.tls_ca) if options.tls_ca is not None else None
    server = Endpoint(options.server, tls, options.token_file)
    connected = time.perf_counter()
    with ExitStack() as stack:
        origin = stack.enter_context(RegistryClient(server))
        config = AgentConfig(options.home, 1, server)
        vouch = stack.enter_context(open_server_trust(config, root=options.root))
        mirrors = [stack.enter_context(RegistryClient(address)) for address in options.mirror]
        plan = plan_pull(origin, cache, options.model, request, vouch=vouch)
        print("planned", flush=True)
        begun = time.perf_counter()
        moved = fetch_plan(
            origin,
            cache,
            plan,
            on_bytes=lambda count: None,
            readers=options.readers,
            mirrors=mirrors,
            bytes_per_second=options.limit,
        )
        ended = time.perf_counter()
    found = {
        "bytes_to_fetch": plan.bytes_to_fetch,
        "bytes_reused": plan.bytes_reused,
        "moved_bytes": moved,
        "seconds": ended - begun,
        "seconds_from_connecting": ended - connected,
        "peak_bytes": _peak_bytes(),
    }
    print(json.dumps(found))


def _peak_bytes() -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return 1024 * int(found[1])


if __name__ == "__main__":
    main()
