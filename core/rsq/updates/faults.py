"""What python-tuf raises, as rsq's own errors: each attack has a name of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tuf.api import exceptions
from tuf.api.metadata import Metadata, Root
from tuf.api.serialization import DeserializationError

from rsq.durable import disk_failures
from rsq.errors import (
    EndlessData,
    ExpiredMetadata,
    ForeignMetadata,
    MixedMetadata,
    RolledBack,
    RsqError,
    SlowRetrieval,
    TooFewSignatures,
    UnsignedArtifact,
    Untrusted,
)
from rsq.updates.fetcher import Fetched, SourceFetcher

_OLD = "What serves goes on serving."


@contextmanager
def translate_faults(fetcher: SourceFetcher, trusted_root: Callable[[], Root]) -> Iterator[None]:
    """Names what goes wrong inside the block. `trusted_root` gives the one that is trusted then."""
    try:
        with disk_failures("The metadata of this node can't be read or written"):
            yield
    except RsqError:
        raise
    except exceptions.DownloadError as e:
        raise _name_download(e, fetcher) from e
    except exceptions.RepositoryError as e:
        raise _name_refusal(e, fetcher, trusted_root()) from e


def _name_download(failure: exceptions.DownloadError, fetcher: SourceFetcher) -> RsqError:
    name = fetcher.asked
    source = fetcher.target
    if isinstance(failure, exceptions.DownloadLengthMismatchError):
        return EndlessData(f"{source} sends more of {name} than such a file may have. {_OLD}")
    if isinstance(failure, exceptions.SlowRetrievalError):
        return SlowRetrieval(
            f"{source} did not send {name} within {fetcher.seconds:g} s. {_OLD} Try again, or "
            "choose another --server."
        )
    return UnsignedArtifact(
        f"{source} has no {name}, and this node takes only what is signed. Sign there with: "
        "rsq-server trust sign"
    )


def _name_refusal(
    failure: exceptions.RepositoryError, fetcher: SourceFetcher, root: Root
) -> RsqError:
    last = fetcher.last
    source = fetcher.target
    if isinstance(failure, exceptions.ExpiredMetadataError):
        signed_at = fetcher.signed_at
        return ExpiredMetadata(
            f"The metadata that {source} offers has expired ({failure}): either somebody withholds "
            f"newer ones, or nobody ran: rsq-server trust refresh. {_OLD}",
            metadata={} if signed_at is None else {"signed_at": signed_at.isoformat()},
        )
    if last is None:
        return Untrusted(f"The stored metadata is not valid: {failure}. Pin the root again.")
    if isinstance(failure, exceptions.LengthOrHashMismatchError):
        return MixedMetadata(f"{source} sends a {last.name} that was not signed with the rest.")
    if isinstance(failure, exceptions.UnsignedMetadataError):
        return _name_missing_signatures(last, source, root)
    if isinstance(failure, exceptions.BadVersionNumberError):
        return _name_bad_version(last, source)
    if "missing info" in str(failure) or "not part of snapshot" in str(failure):
        return MixedMetadata(f"{source} sends a snapshot that leaves out what it listed before.")
    return Untrusted(f"{source} sends a {last.name} that can't be read as metadata. {_OLD}")


def _name_missing_signatures(last: Fetched, source: str, root: Root) -> RsqError:
    try:
        metadata: Metadata[Any] = Metadata.from_bytes(last.data)
        delegator = root.get_delegated_role(last.name.role)
        found = root.get_verification_result(
            last.name.role, metadata.signed_bytes, metadata.signatures
        )
        if not found and found.signed:
            return TooFewSignatures(
                f"{source} sends a {last.name} with {len(found.signed)} of the "
                f"{delegator.threshold} signatures that it needs. {_OLD}"
            )
        # Ours in full, so that it lacks the signatures that it asks for itself.
        if found:
            return TooFewSignatures(
                f"{source} sends a {last.name} without the signatures of its own keys. {_OLD}"
            )
    except (ValueError, DeserializationError):
        pass  # a delegated role: its keys are not the root's
    return ForeignMetadata(
        f"{source} sends a {last.name} that none of the trusted keys signed: it is of another "
        f"repository, or a forgery. {_OLD}"
    )


def _name_bad_version(last: Fetched, source: str) -> RsqError:
    asked, sent = last.name.version, last.version
    if asked is not None and sent != asked:
        return MixedMetadata(f"{source} sends version {sent} where {last.name} was asked for.")
    return RolledBack(
        f"{source} sends an older {last.name} than this node has seen (version {sent}). {_OLD}"
    )
