"""Vectors of two artifacts lie in one collection only where that was measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_artifacts import build_version

from rsq.errors import EnvironmentFault, SpaceMismatch
from rsq.records import ArtifactEvaluation, ArtifactRow
from rsq_agent.cache import Cache
from rsq_agent.collections.collection_store import CollectionStore
from rsq_agent.collections.index_points import IndexPoint
from rsq_agent.collections.sharing import check_sharing, load_sharing, record_sharing

SPACE, FP32, INT8, BAD, UNMEASURED = "5" * 64, "0" * 64, "1" * 64, "2" * 64, "3" * 64
SOUND = {
    "cosine_mean": 0.999,
    "spread_ratio": 1.0,
    "mixed_overlap_change_high": 0.01,
    "cross_image_overlap_change_high": 0.01,
}


def row(key: str, variant: str, metrics: dict[str, float] | None) -> ArtifactRow:
    evaluation = ArtifactEvaluation(key, "aid", "d" * 64, metrics) if metrics is not None else None
    return ArtifactRow(key, "vision", variant, 1, (), True, evaluation)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    cache = Cache(tmp_path / "agent")
    rows = [
        row(FP32, "fp32", {"cosine_mean": 1.0, "spread_ratio": 1.0}),
        row(INT8, "int8", SOUND),
        row(BAD, "int8-static", SOUND | {"mixed_overlap_change_high": -0.01}),
        row(UNMEASURED, "fp16", None),
    ]
    record_sharing(cache, replace(build_version([]), artifacts=tuple(rows)))
    return cache


@pytest.mark.parametrize(
    ("held", "coming", "allowed"),
    [
        (FP32, FP32, True),
        (BAD, BAD, True),
        (FP32, INT8, True),
        (INT8, FP32, True),
        (FP32, BAD, False),
        (BAD, FP32, False),
        (INT8, BAD, False),
        (FP32, UNMEASURED, False),
        (INT8, "9" * 64, False),
        ("9" * 64, FP32, False),
    ],
)
def test_only_measured_artifacts_share(
    cache: Cache, tmp_path: Path, held: str, coming: str, allowed: bool
) -> None:
    store = CollectionStore(tmp_path / "collections")
    collection = store.create("ships", space_id=SPACE, dimension=2)
    check_sharing(cache, coming, collection)
    collection.add([IndexPoint("/a", np.array([1, 0], np.float32), held, SPACE)])
    if allowed:
        check_sharing(cache, coming, collection)
    else:
        with pytest.raises(SpaceMismatch, match="index into another collection"):
            check_sharing(cache, coming, collection)
    store.close()


def test_a_refusal_names_both(cache: Cache, tmp_path: Path) -> None:
    store = CollectionStore(tmp_path / "collections")
    collection = store.create("ships", space_id=SPACE, dimension=2)
    collection.add([IndexPoint("/a", np.array([1, 0], np.float32), FP32, SPACE)])
    with pytest.raises(SpaceMismatch, match=r"tiny:1 fp32.*tiny:1 int8-static"):
        check_sharing(cache, BAD, collection)
    store.close()


def test_what_was_learnt_stays_with_the_next_pull(cache: Cache) -> None:
    record_sharing(cache, replace(build_version([]), version=2, artifacts=()))
    assert {key for key, value in load_sharing(cache).items() if value.may_share} == {INT8}
    assert load_sharing(cache)[FP32].reference
    assert load_sharing(Cache(cache.home / "other")) == {}


@pytest.mark.parametrize(
    "text", ["", "[]", '{"schema": 1, "artifacts": {"a": {}}}', '{"schema": 2}']
)
def test_a_damaged_file_is_named(cache: Cache, text: str) -> None:
    cache.sharing_path.write_text(text)
    with pytest.raises(EnvironmentFault, match=r"sharing\.json"):
        load_sharing(cache)
