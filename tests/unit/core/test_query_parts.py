"""What a caller looks for becomes the parts of one query."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rsq.errors import BadInput
from rsq.query_parts import NEGATIVE_WEIGHT, make_parts
from rsq.retrieval import Origin, QueryPart, Window


def test_each_thing_is_a_part_and_negatives_lead_away(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"jpeg")
    tile = Origin("/t", Window(0, 0, 1, 1))
    parts = make_parts(
        text="port",
        image=[b"png", tmp_path / "a.jpg"],
        like=["/s", tile],
        negative=("cloud", "snow"),
    )
    assert parts == [
        QueryPart(text="port"),
        QueryPart(image=b"png"),
        QueryPart(image=b"jpeg"),
        QueryPart(like=Origin("/s")),
        QueryPart(like=tile),
        QueryPart(text="cloud", weight=NEGATIVE_WEIGHT),
        QueryPart(text="snow", weight=NEGATIVE_WEIGHT),
    ]


def test_a_vector_is_one_row() -> None:
    (part,) = make_parts(vector=np.ones(4))
    assert part.vector is not None
    assert (part.vector.dtype, part.vector.shape) == (np.float32, (4,))
    with pytest.raises(BadInput, match="shape"):
        make_parts(vector=np.ones((1, 4)))


def test_nothing_to_look_for_is_refused() -> None:
    with pytest.raises(BadInput, match="needs a text"):
        make_parts(negative="cloud")
