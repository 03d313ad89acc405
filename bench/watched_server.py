"""A registry server inside the benchmark's process, whose reads are counted and may be damaged."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc

from rsq.rpc.server import RpcServer
from rsq.v1 import registry_pb2 as pb
from rsq.v1.registry_pb2_grpc import (
    add_ContentServicer_to_server,
    add_RegistryServicer_to_server,
)
from rsq_server.app import open_stores
from rsq_server.config import ServerConfig
from rsq_server.rpc.content import ContentService
from rsq_server.rpc.registry import RegistryService


class WatchedContent(ContentService):
    """`reads` holds (digest, offset) of every read, `damage` may change what a message carries."""

    def __init__(self, **parts: object) -> None:
        super().__init__(**parts)  # type: ignore[arg-type]
        self.reads: list[tuple[str, int]] = []
        self.damage: Callable[[bytes], bytes] | None = None
        self._lock = threading.Lock()

    def ReadBlob(
        self, request: pb.ReadBlobRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.ReadBlobResponse]:
        with self._lock:
            self.reads.append((request.digest, request.offset))
        for reply in super().ReadBlob(request, context):
            if self.damage is not None:
                reply = pb.ReadBlobResponse(data=self.damage(reply.data))
            yield reply


@contextmanager
def serve_watched(home: Path) -> Iterator[tuple[str, WatchedContent]]:
    """(address, service) for the registry below RSQ_HOME `home`."""
    with open_stores(ServerConfig(home / "server")) as stores:
        service = WatchedContent(catalogue=stores.catalogue, blobs=stores.blobs)
        registry = RegistryService(stores.catalogue)
        server = RpcServer(
            [
                ("rsq.v1.Registry", lambda s: add_RegistryServicer_to_server(registry, s)),
                ("rsq.v1.Content", lambda s: add_ContentServicer_to_server(service, s)),
            ],
            listen="127.0.0.1:0",
        )
        server.start()
        server.set_serving(True)
        try:
            yield server.address, service
        finally:
            server.stop()
