"""Collections lie on the node, or in the cluster that was named."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from rsq.errors import BadInput, EnvironmentFault, Unreachable
from rsq_agent.cache import Cache
from rsq_agent.collections.collection_store import CollectionStore
from rsq_agent.collections.collections_source import open_collections


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "agent")


class _Refusing(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(403)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def refusing_server() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Refusing)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_without_a_url_they_lie_on_the_node(cache: Cache) -> None:
    collections = open_collections(cache, None)
    assert isinstance(collections, CollectionStore)
    collections.close()


def test_a_cluster_that_does_not_answer_is_named(cache: Cache) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(Unreachable, match="does not answer"):
        open_collections(cache, f"http://127.0.0.1:{port}")


def test_a_cluster_that_refuses_is_told_from_one_that_is_away(
    cache: Cache, refusing_server: str
) -> None:
    with pytest.raises(EnvironmentFault, match="status 403"):
        open_collections(cache, refusing_server)


@pytest.mark.parametrize("url", ["ftp://host", "http://host:port"])
def test_what_is_no_url_is_refused(cache: Cache, url: str) -> None:
    with pytest.raises(BadInput, match="not the URL"):
        open_collections(cache, url)


def test_a_missing_extra_says_what_to_install(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("rsq_agent.collections.cluster")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "qdrant_client", None)
    with pytest.raises(EnvironmentFault, match=r"rsq-agent\[cluster\]"):
        open_collections(cache, "http://127.0.0.1:6333")
