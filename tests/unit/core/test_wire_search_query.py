import numpy as np
import pytest

from rsq.errors import BadInput
from rsq.retrieval import (
    BoundingBox,
    Diversity,
    Origin,
    QueryPart,
    SearchFilter,
    SearchOptions,
    Window,
)
from rsq.v1 import retrieval_pb2 as pb
from rsq.wire.search_query import (
    filter_from_pb,
    filter_to_pb,
    query_part_from_pb,
    query_part_to_pb,
    search_options_from_pb,
    search_to_pb,
)

RING = ((1.0, 2.0), (3.0, 2.0), (3.0, 4.0))


@pytest.mark.parametrize(
    "part",
    [
        QueryPart(text="harbour", weight=-0.5),
        QueryPart(image=b"\xff\xd8"),
        QueryPart(like=Origin("/a.tif", Window(1, 2, 3, 4))),
    ],
)
def test_a_part_of_a_query_comes_back_as_it_was(part: QueryPart) -> None:
    assert query_part_from_pb(query_part_to_pb(part)) == part


def test_a_vector_comes_back_bit_for_bit() -> None:
    vector = np.arange(4, dtype=np.float32)
    part = query_part_from_pb(query_part_to_pb(QueryPart(vector=vector, weight=2.0)))
    assert part.weight == 2.0
    assert part.vector is not None
    np.testing.assert_array_equal(part.vector, vector)


def test_a_part_without_weight_counts_once_and_one_without_content_is_refused() -> None:
    assert query_part_from_pb(pb.QueryPart(text="a")).weight == 1.0
    with pytest.raises(BadInput, match="needs a text"):
        query_part_from_pb(pb.QueryPart())


@pytest.mark.parametrize(
    "options",
    [
        SearchOptions(),
        SearchOptions(
            limit=3,
            offset=4,
            min_score=0.0,
            filter=SearchFilter(
                bbox=BoundingBox(170.0, -10.0, -170.0, 10.0),
                polygon=RING,
                since="2024-01-01T00:00:00Z",
                until="2025-01-01T00:00:00Z",
                all_tags=("a",),
                any_tags=("b", "c"),
                uri_prefix="/scenes/",
            ),
            per_uri=1,
            diversity=Diversity(relevance=0.0, fetch=50),
            collapse_cosine=0.98,
            exact=True,
        ),
    ],
)
def test_options_of_a_search_come_back_as_they_were(options: SearchOptions) -> None:
    request = search_to_pb([], options, collection="c", space_id="s")
    assert search_options_from_pb(request) == options
    assert filter_from_pb(filter_to_pb(options.filter)) == options.filter
