from __future__ import annotations

from pathlib import Path

import grpc

from rsq import errors
from rsq.error_catalog import CATALOG, outcome_for_code, outcome_for_status, outcome_of


def _tree(root: type[errors.RsqError]) -> list[type[errors.RsqError]]:
    return [root, *(leaf for child in root.__subclasses__() for leaf in _tree(child))]


def test_every_error_class_has_its_own_code_and_a_row_in_the_table() -> None:
    classes = set(_tree(errors.RsqError)) - {errors.RsqError}
    public = {one for one in classes if one.__module__ == errors.__name__}
    assert {outcome.error for outcome in CATALOG} == public
    assert len({outcome.error.code for outcome in CATALOG}) == len(CATALOG)
    # A class that one module has for itself leaves the program as the public one above it.
    assert {one.code for one in classes} == {one.code for one in public}


def test_every_status_exists_in_grpc() -> None:
    assert all(outcome.status in grpc.StatusCode.__members__ for outcome in CATALOG)


def test_exit_codes_are_those_of_the_design() -> None:
    codes = {outcome.error.__name__: outcome.exit_code for outcome in CATALOG}
    assert codes["BadInput"] == codes["BadImage"] == 2
    assert codes["NotFound"] == 3
    assert codes["NothingFits"] == 4
    assert codes["IntegrityError"] == 5
    assert codes["SpaceMismatch"] == 6
    assert codes["Exhausted"] == 7
    assert codes["Unreachable"] == 8
    assert codes["Unauthenticated"] == codes["PermissionDenied"] == 9
    assert codes["GateRefused"] == 10
    assert codes["ProbeFailed"] == 11
    assert (codes["DeadlineExceeded"], codes["Interrupted"]) == (12, 130)
    assert codes["EnvironmentFault"] == 13
    assert codes["InternalError"] == 70


def test_lookups_find_the_row_and_fall_back_to_a_bug() -> None:
    assert outcome_of(errors.NotFound("x")).exit_code == 3
    assert outcome_of(errors.RsqError("x")).exit_code == 70
    assert outcome_for_code("OF_A_NEWER_RELEASE") is None
    assert outcome_for_status("DATA_LOSS").error is errors.IntegrityError
    assert outcome_for_status("ABORTED").error is errors.InternalError


def test_the_guide_documents_every_code() -> None:
    guide = Path(__file__).parents[3] / "docs" / "guide" / "errors.md"
    text = guide.read_text()
    for outcome in CATALOG:
        assert f"| `{outcome.error.code}` | {outcome.status} | {outcome.exit_code} |" in text
