from __future__ import annotations

from rsq_server.report_page.variants import COLOURS, colour_variants, order_variants


def test_fp32_comes_first_and_the_others_as_they_come() -> None:
    assert order_variants(["int8", "fp32", "fp16", "int8"]) == ["fp32", "int8", "fp16"]


def test_each_variant_has_one_colour_and_fp32_its_own() -> None:
    assert colour_variants(["int8", "fp32", "fp16"]) == {"fp32": "v0", "int8": "v1", "fp16": "v2"}
    many = colour_variants(f"int8-{number}" for number in range(COLOURS + 1))
    assert (many["int8-0"], many["int8-1"], many[f"int8-{COLOURS}"]) == ("v1", "v2", "v1")
    assert "v0" not in many.values()
