"""Hits as GeoJSON (RFC 7946)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rsq.retrieval import SearchHit
from rsq_agent.results.outline import Ring, cut_outline, find_bbox, find_outline

_DECIMALS = 7  # about a centimetre


def hits_to_geojson(hits: Sequence[SearchHit]) -> dict[str, Any]:
    """A FeatureCollection, best first; the geometry of an image whose place is unknown is null."""
    return {
        "type": "FeatureCollection",
        "features": [_to_feature(rank, hit) for rank, hit in enumerate(hits, 1)],
    }


def _to_feature(rank: int, hit: SearchHit) -> dict[str, Any]:
    payload = hit.payload
    feature: dict[str, Any] = {
        "type": "Feature",
        "id": rank,
        "geometry": None,
        "properties": {
            "rank": rank,
            "cosine": hit.score,
            "probability": hit.probability,
            "uri": hit.uri,
            "window": asdict(payload.window) if payload.window else None,
            "datetime": payload.datetime,
            "tags": list(payload.tags),
            "artifact_id": hit.artifact_id,
        },
    }
    if outline := find_outline(payload):
        bbox = find_bbox(outline)
        feature["bbox"] = [
            round(side, _DECIMALS) for side in (bbox.west, bbox.south, bbox.east, bbox.north)
        ]
        feature["geometry"] = _to_geometry(cut_outline(outline))
    return feature


def _to_geometry(rings: Sequence[Ring]) -> dict[str, Any]:
    polygons = [[[[round(x, _DECIMALS), round(y, _DECIMALS)] for x, y in ring]] for ring in rings]
    if len(polygons) == 1:
        return {"type": "Polygon", "coordinates": polygons[0]}
    return {"type": "MultiPolygon", "coordinates": polygons}
