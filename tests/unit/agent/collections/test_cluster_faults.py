"""What a Qdrant cluster answers or doesn't, in rsq's terms, with the real client."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from qdrant_client import QdrantClient

from rsq.errors import EnvironmentFault, NotFound, RsqError, Unreachable
from rsq_agent.collections.cluster_collection import ClusterCollection


@contextmanager
def cluster(status: int) -> Iterator[str]:
    """The URL of a server that answers everything with `status`."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST = do_PUT = _answer  # noqa: N815 - http.server's names

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def count(url: str) -> int:
    client = QdrantClient(url, check_compatibility=False, timeout=5)
    try:
        return ClusterCollection(client, "scenes", "5" * 64, 16).count()
    finally:
        client.close()


@pytest.mark.parametrize(
    ("status", "error", "message"),
    [
        (404, NotFound, "no collection 'scenes' any more"),
        (401, EnvironmentFault, "status 401"),
        (503, EnvironmentFault, "status 503"),
    ],
)
def test_a_refused_call_names_the_collection_and_the_status(
    status: int, error: type[RsqError], message: str
) -> None:
    with cluster(status) as url, pytest.raises(error, match=message):
        count(url)


def test_a_cluster_that_is_not_there_is_unreachable() -> None:
    with cluster(200) as url:
        pass  # its port is free now
    with pytest.raises(Unreachable, match="serve --collections"):
        count(url)


def test_another_program_at_the_url_is_not_taken_for_a_cluster() -> None:
    with cluster(200) as url, pytest.raises(EnvironmentFault, match="as Qdrant does"):
        count(url)
