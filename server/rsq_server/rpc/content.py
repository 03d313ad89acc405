"""Manifests and blobs over gRPC."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import grpc

from rsq.manifest import decode_manifest
from rsq.rpc.blob_reads import read_in_messages
from rsq.v1 import registry_pb2 as pb
from rsq.v1.registry_pb2_grpc import ContentServicer
from rsq_registry.blobs import Blobs
from rsq_registry.catalogue import Catalogue

# A pull that was begun may go on for so long after its version was deleted, and each of its reads
# renews that. Renewing writes to the database, so a blob's lease is renewed now and then only.
LEASE_SECONDS = 3600.0
RENEW_SECONDS = 600.0
MAX_REMEMBERED = 100_000  # digests whose renewal is remembered


class ContentService(ContentServicer):
    """Answers from a catalogue and its blobs; what these raise reaches the caller as it is. What is
    handed out is leased, so that garbage collection leaves it to whoever is pulling."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        blobs: Blobs,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._catalogue = catalogue
        self._blobs = blobs
        self._now = now
        self._renewed: dict[str, float] = {}
        self._lock = threading.Lock()

    def GetManifest(
        self, request: pb.GetManifestRequest, context: grpc.ServicerContext
    ) -> pb.GetManifestResponse:
        data = self._catalogue.artifact_manifest(request.artifact_id)
        files = [entry.sha256 for entry in decode_manifest(data).files]
        self._renew([request.artifact_id, *files])
        return pb.GetManifestResponse(manifest=data)

    def ReadBlob(
        self, request: pb.ReadBlobRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.ReadBlobResponse]:
        size_bytes = self._blobs.size(request.digest)
        self._renew([request.digest])
        yield from read_in_messages(
            request,
            size_bytes=size_bytes,
            read=lambda offset, length: self._blobs.read(request.digest, offset, length),
        )

    def _renew(self, digests: list[str]) -> None:
        now = self._now()
        with self._lock:
            if len(self._renewed) > MAX_REMEMBERED:
                self._renewed.clear()
            due = [
                digest
                for digest in digests
                if now - self._renewed.get(digest, -RENEW_SECONDS) >= RENEW_SECONDS
            ]
            self._renewed |= dict.fromkeys(due, now)
        if due:
            self._catalogue.lease(due, seconds=LEASE_SECONDS)
