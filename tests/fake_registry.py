"""A working registry in memory behind a real gRPC server, for tests of whoever calls one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
from tiny_artifacts import TinyArtifact

from rsq.errors import IntegrityError, NotFound
from rsq.records import NodeReport, VersionRow
from rsq.rpc.server import RpcServer
from rsq.v1 import registry_pb2 as pb
from rsq.v1.registry_pb2_grpc import (
    ContentServicer,
    RegistryServicer,
    add_ContentServicer_to_server,
    add_RegistryServicer_to_server,
)
from rsq.wire import registry as wire

PART_BYTES = 1000


class FakeRegistry(RegistryServicer, ContentServicer):
    """Holds versions and blobs. Tests change the world by its attributes."""

    def __init__(self) -> None:
        self.versions: dict[str, VersionRow] = {}
        self.manifests: dict[str, bytes] = {}
        self.blobs: dict[str, bytes] = {}
        self.reports: list[NodeReport] = []
        self.reads: list[tuple[str, int]] = []
        self.flip_next_reads = 0  # so many reads come back with a bit flipped
        self.fail_after_reads: int | None = None  # reads fail once so many were served
        self.part_bytes = PART_BYTES
        # (digest, offset): the first read there is answered when `release` is set, or never.
        self.hold_first_read_of: tuple[str, int] | None = None
        self.hold_after_reads: int | None = None  # as this one, every read once so many were served
        self.release = threading.Event()

    def add(self, version: VersionRow, artifacts: list[TinyArtifact]) -> None:
        self.versions[version.model] = version
        for artifact in artifacts:
            self.manifests[artifact.id] = artifact.manifest_bytes
            for entry in artifact.manifest.files:
                self.blobs[entry.sha256] = (artifact.folder / entry.name).read_bytes()

    def GetVersion(
        self, request: pb.GetVersionRequest, context: grpc.ServicerContext
    ) -> pb.GetVersionResponse:
        if request.reference not in self.versions:
            raise NotFound(f"Unknown model {request.reference!r}.")
        version = self.versions[request.reference]
        return pb.GetVersionResponse(version=wire.version_to_pb(version))

    def GetManifest(
        self, request: pb.GetManifestRequest, context: grpc.ServicerContext
    ) -> pb.GetManifestResponse:
        return pb.GetManifestResponse(manifest=self.manifests[request.artifact_id])

    def ReadBlob(
        self, request: pb.ReadBlobRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.ReadBlobResponse]:
        if self.fail_after_reads is not None and len(self.reads) >= self.fail_after_reads:
            raise IntegrityError("The disk of the registry failed.")
        self.reads.append((request.digest, request.offset))
        if self.hold_first_read_of == (request.digest, request.offset):
            self.hold_first_read_of = None
            self.release.wait(60)
        if self.hold_after_reads is not None and len(self.reads) > self.hold_after_reads:
            self.release.wait(60)
        if request.digest not in self.blobs:
            raise NotFound(f"There is no blob {request.digest}.")
        data = bytearray(self.blobs[request.digest][request.offset :][: request.length])
        if self.flip_next_reads > 0:
            self.flip_next_reads -= 1
            data[len(data) // 2] ^= 1
        for start in range(0, len(data), self.part_bytes):
            yield pb.ReadBlobResponse(data=bytes(data[start : start + self.part_bytes]))

    def ReportNode(
        self, request: pb.ReportNodeRequest, context: grpc.ServicerContext
    ) -> pb.ReportNodeResponse:
        self.reports.append(wire.node_report_from_pb(request.report))
        return pb.ReportNodeResponse()


@contextmanager
def serve_registry(registry: FakeRegistry) -> Iterator[str]:
    """The address of a running server for `registry`."""
    server = RpcServer(
        [
            ("rsq.v1.Registry", lambda s: add_RegistryServicer_to_server(registry, s)),
            ("rsq.v1.Content", lambda s: add_ContentServicer_to_server(registry, s)),
        ],
        listen="127.0.0.1:0",
    )
    server.start()
    server.set_serving(True)
    try:
        yield server.address
    finally:
        server.stop()
