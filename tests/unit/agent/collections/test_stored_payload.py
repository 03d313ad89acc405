"""What a shard and a cluster keep of a point comes back as it was, and nothing of their own."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rsq.retrieval import BoundingBox, Window
from rsq_agent.collections.cluster_payload import CROSSES, cluster_hit, cluster_payload
from rsq_agent.collections.index_points import Hit, IndexPoint, payload_of
from rsq_agent.collections.stored_payload import stored_payload, to_hit

VECTOR = np.ones(4, np.float32) / 2
FULL = IndexPoint(
    "/a.tif",
    VECTOR,
    "c" * 64,
    "5" * 64,
    window=Window(1, 2, 3, 4),
    bbox=BoundingBox(179.5, 0, -179.5, 1),
    datetime="2024-05-01T10:30:00Z",
    tags=("port", "s\u00fcd"),
    footprint=((179.5, 0.0), (-179.5, 0.0), (179.5, 1.0)),
    stamp="7-9",
)
BARE = IndexPoint("/b.jpg", VECTOR, "c" * 64, "5" * 64)
Keep = Callable[[IndexPoint], dict[str, Any]]
Read = Callable[[float, dict[str, Any], NDArray[np.float32] | None], Hit]
KINDS: list[tuple[Keep, Read]] = [(stored_payload, to_hit), (cluster_payload, cluster_hit)]


@pytest.mark.parametrize("point", [FULL, BARE])
@pytest.mark.parametrize(("keep", "read"), KINDS)
def test_a_hit_holds_what_the_point_did(keep: Keep, read: Read, point: IndexPoint) -> None:
    stored = json.loads(json.dumps(keep(point)))
    hit = read(1.0000002, stored, VECTOR)
    assert (hit.uri, hit.artifact_id, hit.score) == (point.uri, point.artifact_id, 1.0)
    assert hit.payload == payload_of(point)
    assert hit.vector is VECTOR
    assert stored == keep(point)  # reading changes nothing


def test_a_shard_keeps_a_key_of_its_own_only_for_what_is_filtered_by() -> None:
    assert set(stored_payload(FULL)) == {
        *("uri", "artifact_id", "datetime", "tags", "stamp"),
        *("middle", "place_in_year", "rest"),
    }


def test_only_what_crosses_the_antimeridian_is_marked_in_a_cluster() -> None:
    assert CROSSES in cluster_payload(FULL)
    assert CROSSES not in cluster_payload(BARE)
