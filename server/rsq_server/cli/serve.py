"""`rsq-server serve`."""

from __future__ import annotations

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
    server_tls,
)
from rsq.logs import LogFormat, LogLevel
from rsq.stop_signals import stop_on_signals
from rsq_server.cli.options import build_config, open_watchdog
from rsq_server.config import DEFAULT_LISTEN

EPILOG = """Examples:

rsq-server serve

rsq-server serve --listen 127.0.0.1:7300

rsq-server serve --listen 0.0.0.0:7100 --tls-cert server.pem --tls-key server.key"""


def serve(
    listen: Annotated[
        str, typer.Option("--listen", help="Where to listen.", metavar="HOST:PORT")
    ] = DEFAULT_LISTEN,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    tls_client_ca: TlsClientCa = None,
    require_token: RequireToken = False,
    call_rate: CallRate = None,
    byte_rate: ByteRate = None,
    insecure: Insecure = False,
    log_format: Annotated[
        LogFormat, typer.Option("--log-format", help="Form of the log lines on stderr.")
    ] = LogFormat.TEXT,
    log_level: Annotated[
        LogLevel, typer.Option("--log-level", help="debug has a line for every call.")
    ] = LogLevel.INFO,
) -> None:
    """Serve the registry to agents until SIGTERM or Ctrl-C. Publishing meanwhile is fine."""
    import logging

    from rsq.logs import configure_logs
    from rsq.rpc.health import is_serving
    from rsq_server.app import REGISTRY_SERVICE, open_stores, run_server

    configure_logs(log_format, log_level)
    log = logging.getLogger("rsq.server")
    config = build_config(
        listen=listen,
        insecure=insecure,
        tls=server_tls(tls_cert, tls_key, tls_client_ca),
        require_token=require_token,
        limits=caller_limits(call_rate, byte_rate),
    )
    stop = stop_on_signals()
    with open_stores(config) as stores, run_server(stores, config) as server:
        serving = f"Serving the registry on {server.address} (data in {config.home})"
        print(serving, flush=True)
        log.info("listening on %s", server.address)
        with open_watchdog(lambda: is_serving(server.own_endpoint, REGISTRY_SERVICE)) as watchdog:
            watchdog.ready(serving)
            stop.wait()
        log.info("stopping")
