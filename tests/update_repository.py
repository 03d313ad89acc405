"""A working update repository in memory behind a real gRPC server. Tests change the world by its
attributes, then `publish`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization.json import JSONSerializer

from rsq.errors import NotFound
from rsq.records import VersionRow
from rsq.rpc.server import RpcServer
from rsq.updates.fetcher import SIGNED_AT
from rsq.updates.names import TOP_LEVEL, MetadataName
from rsq.updates.signed_version import SignedFile, aliases_to_target, to_targets
from rsq.v1 import trust_pb2 as pb
from rsq.v1.trust_pb2_grpc import TrustServicer, add_TrustServicer_to_server

SERIALIZER = JSONSerializer(compact=True)
PIECE_BYTES = 4096


class UpdateRepository(TrustServicer):
    """`files` is what a node can get. The root needs two of two keys, the rest one of one."""

    def __init__(self, *, now: datetime | None = None) -> None:
        self.now = (now or datetime.now(UTC)).replace(microsecond=0)
        expires = self.now + timedelta(days=30)
        self.root = Root(expires=expires)
        self.targets = Targets(expires=expires)
        self.snapshot = Snapshot(expires=expires)
        self.timestamp = Timestamp(expires=expires)
        self.delegated: dict[str, Targets] = {}
        self.signers: dict[str, list[CryptoSigner]] = {role: [] for role in TOP_LEVEL}
        self.files: dict[MetadataName, bytes] = {}
        self.asked: list[str] = []
        self.endless: str | None = None  # the role whose file never ends
        self.slow: str | None = None  # the role whose file comes byte by byte, when `go` is set
        self.go = threading.Event()
        for role, count in {"root": 2, "targets": 1, "snapshot": 1, "timestamp": 1}.items():
            for _ in range(count):
                self.add_key(role)
            self.root.roles[role].threshold = count
        self.publish_root(is_first=True)
        self.publish()

    def add_key(self, role: str) -> CryptoSigner:
        signer = CryptoSigner.generate_ed25519()
        self.root.add_key(signer.public_key, role)
        self.signers[role].append(signer)
        return signer

    def rotate(self, role: str) -> None:
        """A new key in place of the first one; the root is signed by its old and new keys."""
        old = self.signers[role].pop(0)
        self.root.revoke_key(old.public_key.keyid, role)
        self.add_key(role)
        self.publish_root(extra=[old] if role == "root" else [])

    def publish_root(
        self, *, extra: list[CryptoSigner] | None = None, is_first: bool = False
    ) -> None:
        if not is_first:
            self.root.version += 1
        self.put(self.root, [*self.signers["root"], *(extra or [])])

    def sign_version(self, version: VersionRow, manifests: dict[str, bytes]) -> None:
        self.add_files(to_targets(version, manifests.__getitem__))

    def sign_aliases(self, model: str, newest: int, events: list[Any]) -> None:
        self.add_files([aliases_to_target(model, newest, events)])

    def add_files(self, files: list[SignedFile]) -> None:
        for file in files:
            self.targets.targets[file.path] = TargetFile(
                file.size_bytes, {"sha256": file.sha256}, file.path, {"custom": file.custom}
            )

    def delegate(self, role: str, paths: list[str]) -> Targets:
        """Targets of a role of its own, which `publish` includes."""
        signer = CryptoSigner.generate_ed25519()
        self.signers[role] = [signer]
        if self.targets.delegations is None:
            self.targets.delegations = Delegations({}, {})
        assert self.targets.delegations.roles is not None
        self.targets.delegations.roles[role] = DelegatedRole(role, [], 1, True, paths=paths)
        self.targets.add_key(signer.public_key, role)
        self.delegated[role] = Targets(expires=self.now + timedelta(days=30))
        return self.delegated[role]

    def publish(self) -> None:
        """Signs everything but the root anew, one version higher than before."""
        for role, targets in {**self.delegated, "targets": self.targets}.items():
            targets.version += 1
            data = self.put(targets, self.signers[role], role=role)
            self.snapshot.meta[f"{role}.json"] = MetaFile.from_data(
                targets.version, data, ["sha256"]
            )
        self.publish_snapshot()

    def publish_snapshot(self) -> None:
        self.snapshot.version += 1
        data = self.put(self.snapshot, self.signers["snapshot"])
        self.timestamp.snapshot_meta = MetaFile.from_data(self.snapshot.version, data, ["sha256"])
        self.publish_timestamp()

    def publish_timestamp(self) -> None:
        self.timestamp.version += 1
        self.timestamp.unrecognized_fields[SIGNED_AT] = self.now.isoformat()
        self.put(self.timestamp, self.signers["timestamp"])

    def put(self, signed: Any, signers: list[CryptoSigner], *, role: str | None = None) -> bytes:
        metadata = Metadata(deepcopy(signed))
        for signer in signers:
            metadata.sign(signer, append=True)
        data = metadata.to_bytes(SERIALIZER)
        role = role or signed.type
        version = None if role == "timestamp" else signed.version
        self.files[MetadataName(role, version)] = data
        return data

    def first_root(self) -> bytes:
        return self.files[MetadataName("root", 1)]

    def newest(self, role: str) -> MetadataName:
        return max(
            (name for name in self.files if name.role == role), key=lambda name: name.version or 0
        )

    def GetMetadata(
        self, request: pb.GetMetadataRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.GetMetadataResponse]:
        version = request.version if request.HasField("version") else None
        name = MetadataName(request.role, version)
        self.asked.append(str(name))
        if name not in self.files:
            raise NotFound(f"There is no {name}.")
        data = self.files[name]
        while self.endless == name.role:
            yield pb.GetMetadataResponse(data=data)
        if self.slow == name.role:
            yield pb.GetMetadataResponse(data=data[:1])
            self.go.wait(60)
        for start in range(0, len(data), PIECE_BYTES):
            yield pb.GetMetadataResponse(data=data[start : start + PIECE_BYTES])


@contextmanager
def serve_updates(repository: UpdateRepository) -> Iterator[str]:
    """The address of a running server for `repository`."""
    server = RpcServer(
        [("rsq.v1.Trust", lambda s: add_TrustServicer_to_server(repository, s))],
        listen="127.0.0.1:0",
    )
    server.start()
    server.set_serving(True)
    try:
        yield server.address
    finally:
        repository.go.set()
        server.stop()
