"""The repository of a server elsewhere, so that its keys never need to go there.

What is signed is worked on in a folder here and sent when it is complete; changes that wait for
more signatures stay in that folder.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from rsq.errors import NotFound
from rsq.rpc.trust import TrustClient
from rsq.updates.metadata_files import MetadataSource
from rsq.updates.names import MetadataName
from rsq_server.signing.repository import Repository
from rsq_server.signing.roles import decode


class RemoteRepository:
    """Fetches on entering, sends what is new on leaving without an error. Raises what the server
    raises, Untrusted where it would send nodes what they refuse."""

    def __init__(self, client: TrustClient, folder: Path) -> None:
        self.repository = Repository(folder)
        self._client = client

    def __enter__(self) -> Self:
        for name, data in _fetch(self._client).items():
            self.repository.files.write(name, data)
        self._before = self._state()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            return
        after = self._state()
        new = {name: data for name, data in after.items() if self._before.get(name) != data}
        if new:
            self._client.add(new)

    def _state(self) -> dict[MetadataName, bytes]:
        files = self.repository.files
        return {name: files.read(name) for name in files.names()}


def _fetch(source: MetadataSource) -> dict[MetadataName, bytes]:
    """Every root, and the newest of the rest; empty where the server has none."""
    found: dict[MetadataName, bytes] = {}
    number = 1
    while (root := _read(source, MetadataName("root", number))) is not None:
        found[MetadataName("root", number)] = root
        number += 1
    name = MetadataName("timestamp")
    data = _read(source, name)
    if data is None:
        return found
    found[name] = data
    snapshot = decode(data, str(name)).signed.snapshot_meta.version
    name = MetadataName("snapshot", snapshot)
    found[name] = b"".join(source.metadata(name))
    for listed, meta in decode(found[name], str(name)).signed.meta.items():
        role = MetadataName(listed.removesuffix(".json"), meta.version)
        found[role] = b"".join(source.metadata(role))
    return found


def _read(source: MetadataSource, name: MetadataName) -> bytes | None:
    try:
        return b"".join(source.metadata(name))
    except NotFound:
        return None
