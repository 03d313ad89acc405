"""The agent's numbers over HTTP, for Prometheus."""

from __future__ import annotations

import io
import threading
from types import TracebackType
from typing import Self

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import MetricsHandler
from prometheus_client.registry import Collector

from rsq.error_catalog import outcome_of
from rsq.errors import EnvironmentFault, RsqError
from rsq.rpc.addresses import join_address, split_address
from rsq.rpc.authorization import AUTHORIZATION
from rsq.rpc.guard import Guard
from rsq.tls import ServerTls
from rsq.tokens import Scope
from rsq_agent.http.http_connections import (
    HEADER_SECONDS,
    WRITE_SECONDS,
    BoundedServer,
    TimedReader,
)


class MetricsServer:
    """Answers scrapes on HOST:PORT for the length of the block; `address` has the bound port. Where
    tokens are asked for, a scraper needs the scope report."""

    def __init__(
        self, collector: Collector, *, listen: str, guard: Guard, tls: ServerTls | None = None
    ) -> None:
        """Raises EnvironmentFault when the port is in use."""
        host, port = split_address(listen)
        registry = CollectorRegistry()
        registry.register(collector)

        class Handler(_Scrape):
            pass

        Handler.registry = registry
        Handler.guard = guard
        contexts = tls.http_context() if tls is not None else None
        try:
            self._server = BoundedServer(host, port, Handler, tls=contexts)
        except OSError as e:
            raise EnvironmentFault(
                f"Can't serve metrics on {listen}: the port is in use or not allowed here. "
                "Choose another with --metrics HOST:PORT."
            ) from e
        self.address = join_address(host, self._server.server_port)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="metrics", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Scrape(MetricsHandler):
    """One connection, bounded in time, and a guard before the metrics."""

    guard: Guard
    server_version = "rsq"
    sys_version = ""

    def setup(self) -> None:
        super().setup()
        self._reader = TimedReader(self.connection)
        self.rfile = io.BufferedReader(self._reader)

    def handle_one_request(self) -> None:
        self._reader.allow(HEADER_SECONDS)
        super().handle_one_request()

    def do_GET(self) -> None:  # noqa: N802
        try:
            caller = self.guard.identify(
                self.headers.get(AUTHORIZATION, ""), join_address(*self.client_address[:2])
            )
            self.guard.permit_any(caller, frozenset({Scope.REPORT}))
        except RsqError as e:
            self.send_error(outcome_of(e).http_status, e.message)
            return
        self.connection.settimeout(WRITE_SECONDS)
        super().do_GET()
