"""Every failure rsq names, as one tree. No transport here: status and exit codes live in
`rsq.error_catalog`.

RsqError
├── BadInput              the caller's input is wrong: image, text, size, unknown tower
│   ├── BadImage
│   ├── BadSource         a checkpoint or data folder that can't be used
│   ├── BadManifest       a manifest that is malformed or of a newer schema
│   └── BadSecret         a token file or private key that is empty, unreadable or damaged
├── NotFound              unknown model, version, alias, artifact, collection
├── NothingFits           no artifact fits the budget; carries the candidates
├── IntegrityError        digest, chunk or signature mismatch
│   └── Untrusted         signed metadata that the pinned root does not vouch for
│       ├── UnsignedArtifact     an artifact that no signed targets list
│       ├── WrongTarget          other content than what was signed under its name
│       ├── RolledBack           older metadata than was seen before
│       ├── FastForwarded        a version number beyond all reason
│       ├── ExpiredMetadata      metadata that nobody has renewed: a freeze, or a forgotten refresh
│       ├── MixedMetadata        files that were not signed together
│       ├── TooFewSignatures     some of the keys that must sign, but fewer than the threshold
│       ├── ForeignMetadata      no signature of ours: another repository's, or a forgery
│       ├── EndlessData          a metadata file over its limit
│       ├── SlowRetrieval        metadata that comes too slowly to be of use
│       ├── BadMirror            a mirror whose bytes are not those of the digest
│       └── ClockWrong           this machine's clock contradicts what was signed
├── SpaceMismatch         vectors of two embedding spaces would be mixed
├── Exhausted             overload, quota, full disk
├── Unreachable           the server or agent isn't there
├── Unauthenticated       who calls, or who answers, is not known
│   ├── TokenMissing
│   ├── TokenUnknown         not one of this program's tokens
│   ├── TokenExpired
│   ├── TokenRevoked
│   ├── CertificateExpired
│   ├── CertificateNotYetValid
│   ├── CertificateWrongHost
│   └── CertificateUntrusted issued by nobody who is trusted here
├── PermissionDenied      a known caller may not do this
│   └── ScopeMissing
├── GateRefused           a quality gate refused a variant or version
├── ProbeFailed           the golden probe failed on this device
├── DeadlineExceeded
├── Interrupted           Ctrl-C or a cancelled call
├── EnvironmentFault      port in use, unreadable folder, missing runtime
│   └── CpuFallback       the CPU would run what was asked for elsewhere
└── InternalError         a bug, here or on the other side
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

RETRY_AFTER = "retry_after_seconds"  # in the metadata of Exhausted


class RsqError(Exception):
    """Base of every error rsq raises on purpose.

    `str(error)` is one sentence fit for a user. `metadata` holds short strings that travel with the
    error over the wire and into JSON output.
    """

    code: ClassVar[str] = "INTERNAL"

    def __init__(self, message: str, *, metadata: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.metadata: dict[str, str] = dict(metadata or {})


class BadInput(RsqError):
    code = "BAD_INPUT"


class BadImage(BadInput):
    code = "BAD_IMAGE"


class BadSource(BadInput):
    code = "BAD_SOURCE"


class BadManifest(BadInput):
    code = "BAD_MANIFEST"


class BadSecret(BadInput):
    code = "BAD_SECRET"


class NotFound(RsqError):
    code = "NOT_FOUND"


class NothingFits(RsqError):
    """No artifact fits. `candidates` lists each one with its reason, as plain JSON values."""

    code = "NOTHING_FITS"

    def __init__(
        self,
        message: str,
        *,
        candidates: list[dict[str, Any]] | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, metadata=metadata)
        self.candidates = list(candidates or [])


class IntegrityError(RsqError):
    code = "INTEGRITY"


class Untrusted(IntegrityError):
    code = "UNTRUSTED"


class UnsignedArtifact(Untrusted):
    code = "UNSIGNED_ARTIFACT"


class WrongTarget(Untrusted):
    code = "WRONG_TARGET"


class RolledBack(Untrusted):
    code = "ROLLED_BACK"


class FastForwarded(Untrusted):
    code = "FAST_FORWARDED"


class ExpiredMetadata(Untrusted):
    code = "METADATA_EXPIRED"


class MixedMetadata(Untrusted):
    code = "MIXED_METADATA"


class TooFewSignatures(Untrusted):
    code = "TOO_FEW_SIGNATURES"


class ForeignMetadata(Untrusted):
    code = "FOREIGN_METADATA"


class EndlessData(Untrusted):
    code = "ENDLESS_DATA"


class SlowRetrieval(Untrusted):
    code = "SLOW_RETRIEVAL"


class BadMirror(Untrusted):
    code = "BAD_MIRROR"


class ClockWrong(Untrusted):
    code = "CLOCK_WRONG"


class SpaceMismatch(RsqError):
    code = "SPACE_MISMATCH"


class Exhausted(RsqError):
    code = "EXHAUSTED"

    @property
    def retry_after_seconds(self) -> float | None:
        """When whoever refused expects room again; None where it did not say."""
        try:
            seconds = float(self.metadata[RETRY_AFTER])
        except (KeyError, ValueError):
            return None
        return seconds if 0 <= seconds < math.inf else None


class Unreachable(RsqError):
    code = "UNREACHABLE"


class Unauthenticated(RsqError):
    code = "UNAUTHENTICATED"


class TokenMissing(Unauthenticated):
    code = "TOKEN_MISSING"


class TokenUnknown(Unauthenticated):
    code = "TOKEN_UNKNOWN"


class TokenExpired(Unauthenticated):
    code = "TOKEN_EXPIRED"


class TokenRevoked(Unauthenticated):
    code = "TOKEN_REVOKED"


class CertificateExpired(Unauthenticated):
    code = "CERTIFICATE_EXPIRED"


class CertificateNotYetValid(Unauthenticated):
    code = "CERTIFICATE_NOT_YET_VALID"


class CertificateWrongHost(Unauthenticated):
    code = "CERTIFICATE_WRONG_HOST"


class CertificateUntrusted(Unauthenticated):
    code = "CERTIFICATE_UNTRUSTED"


class PermissionDenied(RsqError):
    code = "PERMISSION_DENIED"


class ScopeMissing(PermissionDenied):
    code = "SCOPE_MISSING"


class GateRefused(RsqError):
    code = "GATE_REFUSED"


class ProbeFailed(RsqError):
    code = "PROBE_FAILED"


class DeadlineExceeded(RsqError):
    code = "DEADLINE_EXCEEDED"


class Interrupted(RsqError):
    code = "INTERRUPTED"


class EnvironmentFault(RsqError):
    code = "ENVIRONMENT"


class CpuFallback(EnvironmentFault):
    code = "CPU_FALLBACK"


class InternalError(RsqError):
    code = "INTERNAL"
