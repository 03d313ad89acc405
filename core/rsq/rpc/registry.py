"""The registry as its callers see it: records in, records out."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Self

from rsq.records import ModelRow, NodeReport, NodeRow, VersionRow
from rsq.rpc.channel import open_channel, translate_errors
from rsq.v1 import registry_pb2 as pb
from rsq.v1.registry_pb2_grpc import RegistryStub
from rsq.wire import registry as wire

CALL_SECONDS = 20.0


class RegistryClient:
    """Calls a server at HOST:PORT. Raises the rsq error that the server names, Unreachable where
    nothing answers, DeadlineExceeded after `CALL_SECONDS`."""

    def __init__(self, target: str) -> None:
        self.target = target
        self._channel = open_channel(target)
        self._stub = RegistryStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._channel.close()

    def models(self) -> list[ModelRow]:
        with translate_errors(self.target):
            reply = self._stub.ListModels(pb.ListModelsRequest(), timeout=CALL_SECONDS)
        return [wire.model_from_pb(model) for model in reply.models]

    def version(self, reference: str) -> VersionRow:
        """`reference` is NAME, NAME:3 or NAME@production."""
        with translate_errors(self.target):
            reply = self._stub.GetVersion(
                pb.GetVersionRequest(reference=reference), timeout=CALL_SECONDS
            )
        return wire.version_from_pb(reply.version)

    def manifest(self, artifact_id: str) -> bytes:
        """The manifest's bytes, not yet verified."""
        with translate_errors(self.target):
            reply = self._stub.GetManifest(
                pb.GetManifestRequest(artifact_id=artifact_id), timeout=CALL_SECONDS
            )
        return reply.manifest

    def read_blob(
        self, digest: str, offset: int, length: int, *, timeout_seconds: float = CALL_SECONDS
    ) -> Iterator[bytes]:
        """The bytes of one short read, not yet verified."""
        request = pb.ReadBlobRequest(digest=digest, offset=offset, length=length)
        with translate_errors(self.target):
            for reply in self._stub.ReadBlob(request, timeout=timeout_seconds):
                yield reply.data

    def set_alias(self, model: str, alias: str, version: int) -> None:
        with translate_errors(self.target):
            self._stub.SetAlias(
                pb.SetAliasRequest(model=model, alias=alias, version=version),
                timeout=CALL_SECONDS,
            )

    def report_node(self, report: NodeReport) -> None:
        with translate_errors(self.target):
            self._stub.ReportNode(
                pb.ReportNodeRequest(report=wire.node_report_to_pb(report)), timeout=CALL_SECONDS
            )

    def nodes(self) -> list[NodeRow]:
        with translate_errors(self.target):
            reply = self._stub.ListNodes(pb.ListNodesRequest(), timeout=CALL_SECONDS)
        return [wire.node_from_pb(node) for node in reply.nodes]
