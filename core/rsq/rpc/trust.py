"""The signed metadata of a server, as nodes read it and signers add to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Self

from rsq.rpc.channel import open_channel, translate_errors
from rsq.rpc.endpoint import Target, to_endpoint
from rsq.updates.names import MetadataName
from rsq.v1 import trust_pb2 as pb
from rsq.v1.trust_pb2_grpc import TrustStub

FILE_SECONDS = 60.0  # for a whole file, however it trickles
ADD_SECONDS = 60.0


class TrustClient:
    """Calls a server at HOST:PORT. Raises the rsq error that the server names, Unreachable where
    nothing answers, DeadlineExceeded where a file takes longer than `file_seconds`."""

    def __init__(self, target: Target, *, file_seconds: float = FILE_SECONDS) -> None:
        self._endpoint = to_endpoint(target)
        self.target = self._endpoint.address
        self._file_seconds = file_seconds
        self._channel = open_channel(self._endpoint)
        self._stub = TrustStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._channel.close()

    def metadata(self, name: MetadataName) -> Iterator[bytes]:
        """The file in pieces, not verified; whoever has read enough closes it."""
        request = pb.GetMetadataRequest(role=name.role, version=name.version)
        with translate_errors(self._endpoint):
            call = self._stub.GetMetadata(request, timeout=self._file_seconds)
            try:
                for reply in call:
                    yield reply.data
            finally:
                call.cancel()

    def add(self, files: Mapping[MetadataName, bytes]) -> None:
        """Adds files that were signed elsewhere, all or none."""
        request = pb.AddMetadataRequest(
            files=[
                pb.MetadataFile(role=name.role, version=name.version, data=data)
                for name, data in files.items()
            ]
        )
        with translate_errors(self._endpoint):
            self._stub.AddMetadata(request, timeout=ADD_SECONDS)
