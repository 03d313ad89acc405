"""The main job on a real checkpoint and real satellite images, through the commands and gRPC."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench_main_job import run


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_each_variant_is_still_the_same_search_engine(tmp_path: Path, rsq_data: Path) -> None:
    result = run(tmp_path / "home", rsq_data)
    rows = {row["variant"]: row for row in result["rows"]}
    assert result["images"] == 1027
    # The same accuracy as transformers in FP32, within half a point and one point.
    assert abs(rows["fp32"]["zero_shot_change"]) <= 0.005
    assert abs(rows["fp16"]["zero_shot_change"]) <= 0.005
    assert abs(rows["int8"]["zero_shot_change"]) <= 0.01
    assert rows["fp32"]["image_cosine_min"] >= 0.9999
    assert rows["fp32"]["text_cosine_min"] >= 0.9999
    assert rows["int8"]["same_top1"] >= 0.95
    # The same vector alone and in any batch, also with several clients at once.
    for row in rows.values():
        assert row["image_alone_cosine_min"] >= 0.99999
        assert row["text_alone_cosine_min"] >= 0.99999
    # A budget between the two pairs: something quantized is chosen, and every other says why.
    between = result["between"]
    assert "int8" in {choice["variant"] for choice in between["chosen"]}
    reasons = {(c["tower"], c["variant"]): c["reason"] for c in between["candidates"]}
    assert "OVER_BUDGET" in reasons.values()
    assert len(reasons) == 6
    predicted = sum(choice["predicted_peak_bytes"] for choice in between["chosen"])
    assert predicted <= between["budget_bytes"]
