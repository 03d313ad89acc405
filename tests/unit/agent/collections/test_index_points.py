"""Points are checked whole before any is stored, and named the same for ever."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from rsq.errors import BadInput, SpaceMismatch
from rsq.retrieval import BoundingBox, Payload, Window, payload_from_json
from rsq_agent.collections.index_points import (
    IndexPoint,
    admit_points,
    check_point,
    payload_of,
    point_id,
)

SPACE = "a" * 64
VECTOR = np.array([0.6, 0.8, 0, 0], np.float32)
POINT = IndexPoint("/images/a.jpg", VECTOR, "c" * 64, SPACE)


def check(**changes: Any) -> None:
    check_point(replace(POINT, **changes), space_id=SPACE, dimension=4)


def test_ids_do_not_change_between_releases() -> None:
    # Recorded once: another value would store every indexed image a second time.
    assert point_id("/images/a.jpg") == UUID("ae3ea6b2-4df7-5ece-adc6-38daea64a628")
    assert point_id("/images/a.jpg", Window(0, 1, 2, 3)) == UUID(
        "1120a15a-1bc9-5771-8316-59911811f0ea"
    )


def test_ids_differ_by_uri_and_by_each_part_of_the_window() -> None:
    windows = [Window(*parts) for parts in ((1, 2, 3, 4), (0, 2, 3, 4), (1, 0, 3, 4))]
    windows += [Window(*parts) for parts in ((1, 2, 5, 4), (1, 2, 3, 5), (12, 3, 4, 1))]
    ids = {point_id("/a", window) for window in windows}
    ids |= {point_id("/a"), point_id("/b"), point_id("/b", windows[0])}
    assert len(ids) == len(windows) + 3


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"vector": VECTOR.astype(np.float16)},
        {"uri": "/" + "é" * 2047},
        {"window": Window(0, 0, 1, (1 << 32) - 1)},
        {"bbox": BoundingBox(-180, -90, 180, 90)},
        {"bbox": BoundingBox(179, -1, -179, 1)},
        {"datetime": "2024-05-01T10:30:00Z"},
        {"datetime": "2024-05-01t10:30:00.123456+02:00"},
        {"tags": ("x",) * 64},
    ],
)
def test_good_points_pass(changes: dict[str, Any]) -> None:
    check(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"uri": ""},
        {"uri": "/" + "é" * 2048},
        {"uri": "/a\0b"},
        {"uri": "/not-utf8-\udcff.jpg"},
        {"vector": VECTOR * np.float32(1.01)},
        {"artifact_id": "fp32"},
        {"space_id": "mine"},
        {"window": Window(-1, 0, 1, 1)},
        {"window": Window(0, 0, 0, 1)},
        {"window": Window(0, 0, 1, 1 << 32)},
        {"bbox": BoundingBox(0, 1, 1, 0)},
        {"bbox": BoundingBox(0, 0, 181, 1)},
        {"bbox": BoundingBox(0, -91, 1, 1)},
        {"bbox": BoundingBox(float("nan"), 0, 1, 1)},
        {"datetime": "yesterday"},
        {"datetime": "2024-05-01"},
        {"datetime": "2024-05-01T10:30:00"},
        {"datetime": "2024-13-01T10:30:00Z"},
        {"tags": ("x",) * 65},
        {"tags": ("",)},
        {"tags": ("x" * 257,)},
    ],
)
def test_bad_points_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        check(**changes)


def test_another_space_is_a_mismatch_and_not_bad_input() -> None:
    with pytest.raises(SpaceMismatch):
        check(space_id="b" * 64)


def test_of_points_with_one_id_the_last_is_admitted_and_a_footprint_gives_its_box() -> None:
    ring = ((10.0, 0.0), (12.0, 0.0), (11.0, 3.0))
    placed = replace(POINT, footprint=ring)
    rows = admit_points([POINT, placed], space_id=SPACE, dimension=4)
    ((key, (admitted, vector)),) = rows.items()
    assert key == point_id(POINT.uri, POINT.window)
    assert admitted == replace(placed, bbox=BoundingBox(10, 0, 12, 3))
    assert vector.tolist() == POINT.vector.tolist()
    assert admit_points([], space_id=SPACE, dimension=4) == {}


def test_payloads_come_back_from_their_json() -> None:
    payload = Payload(Window(1, 2, 3, 4), BoundingBox(0, 0, 1, 1), "2024-05-01T10:30:00Z", ("a",))
    point = replace(POINT, **vars(payload))
    assert payload_from_json(payload_of(point)) == payload
    assert payload_from_json(payload_of(POINT)) == Payload()
