"""Signing and counting signatures of one metadata file."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from tuf.api.metadata import Metadata, Root, Signed, Timestamp
from tuf.api.serialization import DeserializationError
from tuf.api.serialization.json import JSONSerializer

from rsq.errors import Untrusted
from rsq.updates.fetcher import SIGNED_AT, parse_time
from rsq.updates.names import MetadataName
from rsq_server.signing.keys import Signers

LIFETIME_DAYS = {"root": 365, "targets": 365, "snapshot": 90, "timestamp": 7}
_SERIALIZER = JSONSerializer(compact=True)


def encode(metadata: Metadata[Any]) -> bytes:
    return metadata.to_bytes(_SERIALIZER)


def decode(data: bytes, what: str) -> Metadata[Any]:
    """Raises Untrusted for what is no metadata."""
    try:
        return Metadata.from_bytes(data)
    except DeserializationError as e:
        raise Untrusted(f"{what} is damaged; restore it from a backup.") from e


def name_of(signed: Signed) -> MetadataName:
    return MetadataName(signed.type, None if signed.type == "timestamp" else signed.version)


def date(signed: Signed, now: datetime, *, days: int) -> None:
    """Sets when it expires. A timestamp also says when it was signed, never earlier than before."""
    signed.expires = now.replace(microsecond=0) + timedelta(days=days)
    if isinstance(signed, Timestamp):
        before = parse_time(signed.unrecognized_fields.get(SIGNED_AT))
        moment = now if before is None else max(now, before)
        signed.unrecognized_fields[SIGNED_AT] = moment.replace(microsecond=0).isoformat()


def sign(metadata: Metadata[Any], roots: list[Root], signers: Signers) -> None:
    """Adds the signatures of those keys that one of `roots` names for the role."""
    role = metadata.signed.type
    wanted = {keyid for root in roots for keyid in root.roles[role].keyids}
    for keyid in wanted & signers.keys():
        metadata.sign(signers[keyid], append=True)


def missing_signatures(metadata: Metadata[Any], roots: list[Root]) -> int:
    """How many more keys must sign, by the root that asks for most."""
    role = metadata.signed.type
    found = [
        root.get_verification_result(role, metadata.signed_bytes, metadata.signatures)
        for root in roots
    ]
    return max(result.missing for result in found)
