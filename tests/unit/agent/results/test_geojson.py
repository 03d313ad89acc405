from __future__ import annotations

import json

from rsq.retrieval import BoundingBox, Payload, SearchHit, Window
from rsq_agent.results.geojson import hits_to_geojson


def make_hit(payload: Payload) -> SearchHit:
    return SearchHit(0.25, 0.5, "/scenes/a.tif", payload, "a" * 64)


def test_a_hit_is_a_feature_with_its_scores_and_its_place() -> None:
    payload = Payload(
        Window(0, 256, 128, 64), BoundingBox(4, 51, 5, 52), "2024-05-01T10:30:00Z", ("port",)
    )
    collection = hits_to_geojson([make_hit(payload)])
    assert json.loads(json.dumps(collection)) == {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "id": 1,
                "bbox": [4, 51, 5, 52],
                "geometry": {
                    "type": "Polygon",
                    "coordinates": [[[4, 51], [5, 51], [5, 52], [4, 52], [4, 51]]],
                },
                "properties": {
                    "rank": 1,
                    "cosine": 0.25,
                    "probability": 0.5,
                    "uri": "/scenes/a.tif",
                    "window": {"x": 0, "y": 256, "width": 128, "height": 64},
                    "datetime": "2024-05-01T10:30:00Z",
                    "tags": ["port"],
                    "artifact_id": "a" * 64,
                },
            }
        ],
    }


def test_a_footprint_across_the_antimeridian_is_a_multipolygon_whose_box_starts_in_the_east() -> (
    None
):
    (feature,) = hits_to_geojson([make_hit(Payload(bbox=BoundingBox(179, -17, -178, -16)))])[
        "features"
    ]
    assert feature["bbox"] == [179, -17, -178, -16]
    assert feature["geometry"]["type"] == "MultiPolygon"
    parts = [{x for x, _ in polygon[0]} for polygon in feature["geometry"]["coordinates"]]
    assert sorted(parts, key=min) == [{-180, -178}, {179, 180}]


def test_an_image_without_a_place_keeps_its_rank_and_has_no_geometry() -> None:
    features = hits_to_geojson([make_hit(Payload()), make_hit(Payload())])["features"]
    assert [feature["geometry"] for feature in features] == [None, None]
    assert [feature["id"] for feature in features] == [1, 2]
    assert "bbox" not in features[0]
