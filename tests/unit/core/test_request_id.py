from __future__ import annotations

import pytest

from rsq.request_id import (
    MAX_REQUEST_ID_CHARS,
    choose_request_id,
    current_request_id,
    request_scope,
)


@pytest.mark.parametrize("offered", ["a", "job 7/3", "x" * MAX_REQUEST_ID_CHARS])
def test_a_callers_plain_id_is_kept(offered: str) -> None:
    assert choose_request_id(offered) == offered


@pytest.mark.parametrize(
    "offered", [None, "", " a", "a\nb", "\x1b[31m", "é", "x" * (MAX_REQUEST_ID_CHARS + 1)]
)
def test_anything_else_gets_a_new_id(offered: str | None) -> None:
    made = choose_request_id(offered)
    assert made != offered
    assert len(made) == 32
    assert made != choose_request_id(offered)


def test_the_id_holds_inside_its_scope_only() -> None:
    assert current_request_id() == ""
    with request_scope("outer"):
        with request_scope("inner"):
            assert current_request_id() == "inner"
        assert current_request_id() == "outer"
    assert current_request_id() == ""
