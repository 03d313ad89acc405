"""`rsq-agent serve` and `rsq-agent status`."""

from __future__ import annotations

import json
import signal
import sys
import threading
from dataclasses import asdict
from typing import Annotated

import typer

from rsq_agent.cli.options import AgentAddress, Json, Server, build_config
from rsq_agent.config import DEFAULT_LISTEN, DEFAULT_SERVER

SERVE_EPILOG = """Examples:

rsq-agent serve

rsq-agent serve --model git-rsclip-base --listen 127.0.0.1:7300

rsq-agent serve --mirror"""


def serve(
    model: Annotated[
        str | None, typer.Option("--model", help="Which of the pulled models; default: the last.")
    ] = None,
    listen: Annotated[
        str, typer.Option("--listen", help="Where to listen.", metavar="HOST:PORT")
    ] = DEFAULT_LISTEN,
    server: Server = DEFAULT_SERVER,
    threads: Annotated[
        int, typer.Option("--threads", help="Inference threads; 0: all cores.", min=0, max=1024)
    ] = 0,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Allow a bind beyond loopback without TLS.")
    ] = False,
    mirror: Annotated[
        bool, typer.Option("--mirror", help="Give what was pulled here to other nodes as well.")
    ] = False,
) -> None:
    """Serve embedding and search for what was pulled. Works with no server reachable."""
    from rsq_agent.app import Agent

    config = build_config(
        server=server, listen=listen, threads=threads, insecure=insecure, mirror=mirror
    )
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with Agent(config) as agent:
        live = agent.load(model)
        names = " and ".join(
            f"{name} {tower.manifest.variant}" for name, tower in sorted(live.towers.items())
        )
        print(
            f"Serving {live.activation.model}:{live.activation.version} ({names}) on "
            f"{agent.address}",
            flush=True,
        )
        stop.wait()
        print("Stopping.", file=sys.stderr)


def status(agent: AgentAddress = DEFAULT_LISTEN, as_json: Json = False) -> None:
    """Say what the running agent serves."""
    from rsq.rpc.agent import read_status

    found = read_status(agent)
    if as_json:
        print(json.dumps(asdict(found), indent=2))
        return
    served = f"{found.model}:{found.version}" if found.model else "nothing"
    print(f"{found.state}: {served} on node {found.node_id[:12]}, up {found.uptime_seconds:.0f} s")
    for artifact_id in found.artifact_ids:
        print(f"  artifact {artifact_id}")
