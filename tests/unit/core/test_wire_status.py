"""What grpc says by itself, without an error of ours in it."""

from __future__ import annotations

import grpc
import pytest

from rsq.errors import DeadlineExceeded, RsqError, Unreachable
from rsq.wire.status import from_rpc_error


class Foreign(grpc.RpcError):
    def __init__(self, code: grpc.StatusCode) -> None:
        super().__init__()
        self._code = code

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return "Exception deserializing response!"

    def trailing_metadata(self) -> tuple[()]:
        return ()


@pytest.mark.parametrize(
    ("code", "error", "said"),
    [
        (grpc.StatusCode.INTERNAL, Unreachable, "broke"),
        (grpc.StatusCode.UNKNOWN, Unreachable, "broke"),
        (grpc.StatusCode.UNAVAILABLE, Unreachable, "Nothing answers"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, DeadlineExceeded, "in time"),
    ],
)
def test_what_a_damaged_connection_makes_of_a_reply_is_a_connections_fault(
    code: grpc.StatusCode, error: type[RsqError], said: str
) -> None:
    found = from_rpc_error(Foreign(code), target="registry:7100")
    assert type(found) is error
    assert said in found.message
    assert "registry:7100" in found.message
