"""A registry on another machine as publishing sees it: files go over only where it lacks them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from rsq.chunks import MESSAGE_BYTES
from rsq.digest import digest_bytes, digest_file
from rsq.errors import BadInput, EnvironmentFault, IntegrityError
from rsq.manifest import artifact_id, decode_manifest
from rsq.records import ArtifactRow, VersionRow
from rsq.rpc.publishing import PublishingClient, ReadFrom
from rsq.version_record import encode_version
from rsq_registry.drafts import VersionDraft


class RemoteRegistry:
    """What `publish` needs of a catalogue and of blobs. `on_bytes` hears of bytes that went over.
    Raises what `PublishingClient` raises."""

    def __init__(
        self, client: PublishingClient, *, on_bytes: Callable[[int], None] = lambda count: None
    ) -> None:
        self._client = client
        self._on_bytes = on_bytes
        self._missing: dict[str, bool] = {}

    def lease(self, digests: Collection[str], *, seconds: float) -> None:
        """The server keeps what it is asked about for a day, whatever `seconds` says."""
        missing = self._client.find_missing(digests)
        self._missing |= {digest: digest in missing for digest in digests}

    def has(self, digest: str) -> bool:
        if digest not in self._missing:
            self.lease([digest], seconds=0)
        return not self._missing[digest]

    def put_file(self, path: Path, *, expected: str | None = None) -> str:
        with _translated_failures(path):
            digest = expected or digest_file(path)
            size_bytes = path.stat().st_size

        def read_from(offset: int) -> Iterator[bytes]:
            with _translated_failures(path), path.open("rb") as file:
                file.seek(offset)
                while piece := file.read(MESSAGE_BYTES):
                    yield piece

        self._put(digest, size_bytes, read_from)
        return digest

    def put_bytes(self, data: bytes, *, expected: str | None = None) -> str:
        digest = digest_bytes(data)
        if expected not in (None, digest):
            raise IntegrityError(
                f"The bytes have the digest {digest}, not {expected} as announced."
            )

        def read_from(offset: int) -> Iterator[bytes]:
            for start in range(offset, len(data), MESSAGE_BYTES):
                yield data[start : start + MESSAGE_BYTES]

        self._put(digest, len(data), read_from)
        return digest

    def add_version(self, draft: VersionDraft) -> VersionRow:
        """Uploads the manifests and adds the version, in one transaction on the server."""
        for data in draft.artifacts:
            self.put_bytes(data)
        return self._client.add_version(encode_version(describe_draft(draft)), alias=draft.alias)

    def _put(self, digest: str, size_bytes: int, read_from: ReadFrom) -> None:
        if not self.has(digest):
            self._client.upload(digest, size_bytes, read_from, on_bytes=self._on_bytes)
            self._missing[digest] = False


@contextmanager
def _translated_failures(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as e:
        raise EnvironmentFault(f"{path} can't be read: {e.strerror}.") from e


def describe_draft(draft: VersionDraft) -> VersionRow:
    """The draft as the version that it will be, without number and time. Raises BadInput for a
    record of an artifact that the draft lacks."""
    evaluations = {evaluation.artifact_id: evaluation for evaluation in draft.evaluations}
    rows = []
    for data in draft.artifacts:
        identity, manifest = artifact_id(data), decode_manifest(data)
        rows.append(
            ArtifactRow(
                id=identity,
                tower=manifest.tower,
                variant=manifest.variant,
                size_bytes=manifest.size_bytes,
                providers=manifest.recipe.providers,
                batch_invariant=manifest.batch_invariant,
                evaluation=evaluations.pop(identity, None),
                profiles=tuple(p for p in draft.profiles if p.artifact_id == identity),
            )
        )
    if evaluations:
        raise BadInput("A record speaks of an artifact which the version doesn't hold.")
    return VersionRow(
        model=draft.model,
        version=0,
        space_id=draft.space_id,
        dimension=draft.dimension,
        created_at="",
        licence=draft.licence,
        source=draft.source,
        artifacts=tuple(rows),
        pairs=draft.pairs,
        source_digest=draft.source_digest,
        details_digest=draft.details_digest,
    )
