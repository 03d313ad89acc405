"""The one table from an error to its gRPC status, its process exit code and its HTTP status
(documented in docs/guide/errors.md). Nothing else decides any of them."""

from __future__ import annotations

from dataclasses import dataclass

from rsq import errors


@dataclass(frozen=True)
class Outcome:
    """How one error class leaves the program."""

    error: type[errors.RsqError]
    status: str  # name of a grpc.StatusCode
    exit_code: int
    http_status: int


CATALOG: tuple[Outcome, ...] = (
    Outcome(errors.BadInput, "INVALID_ARGUMENT", 2, 400),
    Outcome(errors.BadImage, "INVALID_ARGUMENT", 2, 400),
    Outcome(errors.BadSource, "INVALID_ARGUMENT", 2, 400),
    Outcome(errors.BadManifest, "INVALID_ARGUMENT", 2, 400),
    Outcome(errors.BadSecret, "INVALID_ARGUMENT", 2, 400),
    Outcome(errors.NotFound, "NOT_FOUND", 3, 404),
    Outcome(errors.NothingFits, "FAILED_PRECONDITION", 4, 409),
    Outcome(errors.IntegrityError, "DATA_LOSS", 5, 500),
    Outcome(errors.Untrusted, "DATA_LOSS", 5, 500),
    Outcome(errors.UnsignedArtifact, "DATA_LOSS", 5, 500),
    Outcome(errors.WrongTarget, "DATA_LOSS", 5, 500),
    Outcome(errors.RolledBack, "DATA_LOSS", 5, 500),
    Outcome(errors.FastForwarded, "DATA_LOSS", 5, 500),
    Outcome(errors.ExpiredMetadata, "DATA_LOSS", 5, 500),
    Outcome(errors.MixedMetadata, "DATA_LOSS", 5, 500),
    Outcome(errors.TooFewSignatures, "DATA_LOSS", 5, 500),
    Outcome(errors.ForeignMetadata, "DATA_LOSS", 5, 500),
    Outcome(errors.EndlessData, "DATA_LOSS", 5, 500),
    Outcome(errors.SlowRetrieval, "DATA_LOSS", 5, 500),
    Outcome(errors.BadMirror, "DATA_LOSS", 5, 500),
    Outcome(errors.ClockWrong, "DATA_LOSS", 5, 500),
    Outcome(errors.SpaceMismatch, "FAILED_PRECONDITION", 6, 409),
    Outcome(errors.Exhausted, "RESOURCE_EXHAUSTED", 7, 429),
    Outcome(errors.Unreachable, "UNAVAILABLE", 8, 502),
    Outcome(errors.Unauthenticated, "UNAUTHENTICATED", 9, 401),
    Outcome(errors.TokenMissing, "UNAUTHENTICATED", 9, 401),
    Outcome(errors.TokenUnknown, "UNAUTHENTICATED", 9, 401),
    Outcome(errors.TokenExpired, "UNAUTHENTICATED", 9, 401),
    Outcome(errors.TokenRevoked, "UNAUTHENTICATED", 9, 401),
    Outcome(errors.CertificateExpired, "UNAUTHENTICATED", 9, 401),
    Outcome(errors.CertificateNotYetValid, "UNAUTHENTICATED", 9, 401),
    Outcome(errors.CertificateWrongHost, "UNAUTHENTICATED", 9, 401),
    Outcome(errors.CertificateUntrusted, "UNAUTHENTICATED", 9, 401),
    Outcome(errors.PermissionDenied, "PERMISSION_DENIED", 9, 403),
    Outcome(errors.ScopeMissing, "PERMISSION_DENIED", 9, 403),
    Outcome(errors.GateRefused, "FAILED_PRECONDITION", 10, 409),
    Outcome(errors.ProbeFailed, "FAILED_PRECONDITION", 11, 503),
    Outcome(errors.DeadlineExceeded, "DEADLINE_EXCEEDED", 12, 504),
    Outcome(errors.EnvironmentFault, "FAILED_PRECONDITION", 13, 503),
    Outcome(errors.CpuFallback, "FAILED_PRECONDITION", 13, 503),
    Outcome(errors.InternalError, "INTERNAL", 70, 500),
    Outcome(errors.Interrupted, "CANCELLED", 130, 503),
)

_BY_CODE = {outcome.error.code: outcome for outcome in CATALOG}


def outcome_of(error: errors.RsqError) -> Outcome:
    """The row for `error`; errors outside the table count as bugs."""
    return _BY_CODE.get(error.code, _BY_CODE[errors.InternalError.code])


def outcome_for_code(code: str) -> Outcome | None:
    """The row whose error class has this stable `code`, or None for a code of a newer release."""
    return _BY_CODE.get(code)


def outcome_for_status(status: str) -> Outcome:
    """The most general row with gRPC status name `status`, for replies that carry no ErrorInfo."""
    for outcome in CATALOG:
        if outcome.status == status:
            return outcome
    return _BY_CODE[errors.InternalError.code]
