"""Faults of this machine, found behind a client's exceptions."""

from __future__ import annotations

import errno

import pytest

from rsq.errors import EnvironmentFault, Exhausted
from rsq_server.sources.faults import find_local_fault, walk_causes


def wrap(inner: Exception) -> Exception:
    try:
        try:
            raise inner
        except Exception as e:
            raise ValueError("the client's own words") from e
    except ValueError as outer:
        return outer


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_found_behind_a_wrapper(number: int) -> None:
    assert isinstance(find_local_fault(wrap(OSError(number, "full"))), Exhausted)


def test_a_read_only_cache_is_named() -> None:
    fault = find_local_fault(wrap(OSError(errno.EROFS, "read-only", "/cache")))
    assert isinstance(fault, EnvironmentFault)
    assert "/cache" in str(fault)


@pytest.mark.parametrize("error", [ValueError("x"), OSError(errno.ECONNREFUSED, "refused")])
def test_other_errors_are_not_blamed_on_this_machine(error: Exception) -> None:
    assert find_local_fault(wrap(error)) is None


def test_causes_in_a_circle_end() -> None:
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert list(walk_causes(first)) == [first, second]
