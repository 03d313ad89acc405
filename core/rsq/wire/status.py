"""Errors on the wire: a google.rpc.Status with an ErrorInfo whose reason is our stable code."""

from __future__ import annotations

import json
from typing import Any, cast

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from rsq import errors
from rsq.error_catalog import outcome_for_code, outcome_for_status, outcome_of

DOMAIN = "rsq"
# Trailing metadata is capped at 8 KiB by default; what does not fit is left out, never truncated.
MAX_CANDIDATES_CHARS = 5_000
MAX_MESSAGE_CHARS = 1_000
# From our own side these carry an ErrorInfo; without one they are grpc's, about bytes that it could
# not read.
_BROKEN_CONNECTION = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)


def to_status(error: errors.RsqError) -> status_pb2.Status:
    """The public form of `error`: its sentence, code and metadata."""
    info = error_details_pb2.ErrorInfo(
        reason=error.code, domain=DOMAIN, metadata=dict(error.metadata)
    )
    if isinstance(error, errors.NothingFits):
        candidates = json.dumps(error.candidates, separators=(",", ":"))
        if len(candidates) <= MAX_CANDIDATES_CHARS:
            info.metadata["candidates"] = candidates
    detail = any_pb2.Any()
    detail.Pack(info)
    code = grpc.StatusCode[outcome_of(error).status]
    return status_pb2.Status(
        code=code.value[0], message=error.message[:MAX_MESSAGE_CHARS], details=[detail]
    )


def from_rpc_error(failure: grpc.RpcError, *, target: str) -> errors.RsqError:
    """The rsq error that `failure` carries, or the closest one for a foreign failure."""
    call = cast(grpc.Call, failure)  # what a stub raises is both
    info = _error_info(call)
    message = call.details() or "The call failed without a message."
    if info is not None:
        outcome = outcome_for_code(info.reason)
        metadata = dict(info.metadata)
        if outcome is not None and issubclass(outcome.error, errors.NothingFits):
            candidates = _candidates(metadata.pop("candidates", "[]"))
            return errors.NothingFits(message, candidates=candidates, metadata=metadata)
        if outcome is not None:
            return outcome.error(message, metadata=metadata)
    code = call.code()
    if code is grpc.StatusCode.UNAVAILABLE:
        return errors.Unreachable(f"Nothing answers at {target}. Is it running there?")
    if code in _BROKEN_CONNECTION:
        return errors.Unreachable(f"The connection to {target} broke ({message[:200]}).")
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return errors.DeadlineExceeded(f"{target} did not answer in time.")
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return errors.BadInput(f"{target} does not offer this call; is it an rsq service?")
    return outcome_for_status(code.name).error(message)


def _candidates(text: str) -> list[dict[str, Any]]:
    """As `to_status` wrote them; none where the other side sent something else."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return []
    rows = found if isinstance(found, list) else []
    return [row for row in rows if isinstance(row, dict)]


def _error_info(call: grpc.Call) -> error_details_pb2.ErrorInfo | None:
    try:
        status = rpc_status.from_call(call)
    except ValueError:  # the status details contradict the status: someone else's
        return None
    for detail in status.details if status is not None else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Is(info.DESCRIPTOR) and detail.Unpack(info) and info.domain == DOMAIN:
            return info
    return None
