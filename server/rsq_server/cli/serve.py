"""`rsq-server serve`."""

from __future__ import annotations

import signal
import threading
from typing import Annotated

import typer

from rsq_server.cli.options import build_config
from rsq_server.config import DEFAULT_LISTEN

EPILOG = """Examples:

rsq-server serve

rsq-server serve --listen 127.0.0.1:7300

rsq-server serve --listen 0.0.0.0:7100 --insecure"""


def serve(
    listen: Annotated[
        str, typer.Option("--listen", help="Where to listen.", metavar="HOST:PORT")
    ] = DEFAULT_LISTEN,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Allow a bind beyond loopback without TLS.")
    ] = False,
) -> None:
    """Serve the registry to agents until SIGTERM or Ctrl-C. Publishing meanwhile is fine."""
    import logging

    from rsq_server.app import open_stores, run_server

    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s")
    config = build_config(listen=listen, insecure=insecure)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with open_stores(config) as stores, run_server(stores, config) as server:
        print(f"Serving the registry on {server.address} (data in {config.home})", flush=True)
        stop.wait()
