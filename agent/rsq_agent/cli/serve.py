"""`rsq-agent serve`."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Annotated

import typer

from rsq.connection_options import (
    ByteRate,
    CallRate,
    Insecure,
    RequireToken,
    TlsCert,
    TlsClientCa,
    TlsKey,
    caller_limits,
    server_endpoint,
    server_tls,
)
from rsq.logs import LogFormat, LogLevel
from rsq.stop_signals import stop_on_signals
from rsq_agent.cli.latency_target import LatencyTarget, parse_latency_targets
from rsq_agent.cli.options import AllowCpu, build_config, open_watchdog
from rsq_agent.cli.watch import Every
from rsq_agent.config import DEFAULT_LISTEN, DEFAULT_SERVER

SERVE_EPILOG = """Examples:

rsq-agent serve

rsq-agent serve --model git-rsclip-base --listen 127.0.0.1:7300

rsq-agent serve --model git-rsclip-base --model remoteclip --vram 3GB --idle-unload 30

rsq-agent serve --watch git-rsclip-base@production

rsq-agent serve --latency-target 300ms --latency-target text=100ms

rsq-agent serve --mirror

rsq-agent serve --listen 0.0.0.0:7200 --tls-cert node.pem --tls-key node.key

rsq-agent serve --metrics 127.0.0.1:9200 --log-format json"""


def serve(
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            help="Load and serve this model; may be repeated, the first one is the default. "
            "Without it: the one pulled last, and the others once a request names them.",
            metavar="NAME",
        ),
    ] = None,
    listen: Annotated[
        str, typer.Option("--listen", help="Where to listen.", metavar="HOST:PORT")
    ] = DEFAULT_LISTEN,
    server: Annotated[
        str | None,
        typer.Option(
            "--server",
            help="The registry server to tell what serves here, and to watch. Default: nobody is "
            "told.",
            metavar="HOST:PORT",
        ),
    ] = None,
    threads: Annotated[
        int, typer.Option("--threads", help="Inference threads; 0: all cores.", min=0, max=1024)
    ] = 0,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    tls_client_ca: TlsClientCa = None,
    require_token: RequireToken = False,
    call_rate: CallRate = None,
    byte_rate: ByteRate = None,
    insecure: Insecure = False,
    allow_cpu: AllowCpu = False,
    mirror: Annotated[
        bool, typer.Option("--mirror", help="Give what was pulled here to other nodes as well.")
    ] = False,
    vram: Annotated[
        str | None,
        typer.Option("--vram", help="Memory for all loaded models together: 4GB.", metavar="SIZE"),
    ] = None,
    idle_unload: Annotated[
        float,
        typer.Option(
            "--idle-unload",
            help="Unload a model without requests; 0: never.",
            metavar="MINUTES",
            min=0,
        ),
    ] = 0,
    watch: Annotated[
        str | None,
        typer.Option(
            "--watch", help="Follow this alias as `rsq-agent watch` does.", metavar="NAME[@alias]"
        ),
    ] = None,
    every: Every = "60s",
    latency_target: LatencyTarget = None,
    http: Annotated[
        str | None,
        typer.Option(
            "--http", help="Where to serve /v1/embeddings as OpenAI does.", metavar="HOST:PORT"
        ),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option("--metrics", help="Where Prometheus may read.", metavar="HOST:PORT"),
    ] = None,
    collections: Annotated[
        str | None,
        typer.Option(
            "--collections",
            help="Keep collections in this Qdrant cluster instead of on this node's disk: "
            "http://host:6333.",
            metavar="URL",
        ),
    ] = None,
    roots: Annotated[
        list[Path] | None,
        typer.Option(
            "--root",
            help="The agent may read the images below this folder, as a migration does; may be "
            "repeated. Default: none.",
            metavar="DIR",
        ),
    ] = None,
    otel: Annotated[
        bool, typer.Option("--otel", help="Send traces by OpenTelemetry (OTLP over gRPC).")
    ] = False,
    log_format: Annotated[
        LogFormat, typer.Option("--log-format", help="Form of the log lines on stderr.")
    ] = LogFormat.TEXT,
    log_level: Annotated[
        LogLevel, typer.Option("--log-level", help="debug has a line for every call.")
    ] = LogLevel.INFO,
) -> None:
    """Serve embedding and search for what was pulled. Works with no server reachable."""
    from rsq.logs import configure_logs
    from rsq.units import parse_seconds, parse_size
    from rsq_agent.app import Agent
    from rsq_agent.pulling.watch import parse_watched

    watched = parse_watched(watch) if watch is not None else None
    configure_logs(log_format, log_level)
    config = build_config(
        server=server_endpoint(server or DEFAULT_SERVER),
        reports=server is not None,
        listen=listen,
        threads=threads,
        insecure=insecure,
        tls=server_tls(tls_cert, tls_key, tls_client_ca),
        require_token=require_token,
        limits=caller_limits(call_rate, byte_rate),
        allow_cpu=allow_cpu,
        mirror=mirror,
        metrics=metrics,
        http=http,
        collections=collections,
        roots=tuple(roots or ()),
        otel=otel,
        vram_bytes=parse_size(vram) if vram is not None else None,
        idle_unload_seconds=idle_unload * 60,
        watch_seconds=parse_seconds(every),
        latency_targets=parse_latency_targets(latency_target or ()),
    )
    stop = stop_on_signals()
    with Agent(config) as agent, open_watchdog(agent.is_answering) as watchdog:
        watchdog.state("Loading and proving the model")
        # What was made so far stays, and looking through it for garbage stops every call for 15 ms.
        # Not what comes later: a model that is unloaded has to go.
        gc.freeze()
        live = agent.load(*models) if models else agent.load(None)
        if watched is not None:
            agent.watch(watched)
        names = " and ".join(
            f"{name} {tower.manifest.variant}" for name, tower in sorted(live.towers.items())
        )
        serving = (
            f"Serving {live.activation.model}:{live.activation.version} ({names}) on "
            f"{agent.address}"
        )
        print(serving, flush=True)
        watchdog.ready(serving)
        stop.wait()
