# ruff: noqa: RUF001 - the page writes typographic signs
from __future__ import annotations

from dataclasses import replace

from report_samples import make_version

from rsq.records import ArtifactRow
from rsq_server.report_page.summary import summarize_towers, write_sentence

VERSION = make_version()


def rows_without(*variants: str) -> tuple[ArtifactRow, ...]:
    return tuple(row for row in VERSION.artifacts if row.variant not in variants)


def test_the_fastest_variant_of_each_tower_is_the_best() -> None:
    vision, text = summarize_towers(VERSION)
    assert (vision.tower, vision.variant, vision.batch) == ("vision", "int8", 1)
    assert (vision.size_ratio, vision.speed_ratio, vision.match) == (4.0, 2.5, 0.977)
    assert (text.tower, text.variant) == ("text", "int8")
    assert write_sentence([vision, text]) == (
        "Next to FP32, vision int8 is 4.0× smaller and 2.5× faster at batch 1, and finds the same "
        "best image for 97.7% of the queries (95% interval 96.5–98.3%); text int8 is 4.0× smaller "
        "and 2.5× faster at batch 1, and finds the same best image for 97.7% of the queries (95% "
        "interval 96.5–98.3%)."
    )


def test_a_slower_variant_is_called_slower() -> None:
    version = replace(VERSION, artifacts=rows_without("int8"))
    (vision, _) = summarize_towers(version)
    assert vision.variant == "fp16"
    assert vision.sentence.startswith("vision fp16 is 2.0× smaller and 1.2× slower at batch 1")


def test_a_refused_variant_is_never_the_best() -> None:
    rows = tuple(
        replace(
            row,
            evaluation=row.evaluation
            and replace(row.evaluation, metrics={**row.evaluation.metrics, "cosine_mean": 0.5}),
        )
        if row.variant == "int8"
        else row
        for row in VERSION.artifacts
    )
    assert {s.variant for s in summarize_towers(replace(VERSION, artifacts=rows))} == {"fp16"}


def test_measured_variants_go_before_others_and_then_the_smallest() -> None:
    def bare(*variants: str) -> tuple[ArtifactRow, ...]:
        return tuple(
            replace(row, profiles=()) if row.variant in variants else row
            for row in VERSION.artifacts
        )

    assert summarize_towers(replace(VERSION, artifacts=bare("int8")))[0].variant == "fp16"
    (vision, _) = summarize_towers(replace(VERSION, artifacts=bare("fp32", "fp16", "int8")))
    assert (vision.variant, vision.speed_ratio, vision.speed) == ("int8", None, "")
    assert vision.sentence.startswith("vision int8 is 4.0× smaller, and finds")


def test_a_version_of_fp32_alone_has_nothing_to_compare() -> None:
    assert summarize_towers(replace(VERSION, artifacts=rows_without("fp16", "int8"))) == []
    assert "no variant to compare" in write_sentence([])


def test_without_fp32_only_its_answers_are_known() -> None:
    (vision, _) = summarize_towers(replace(VERSION, artifacts=rows_without("fp32")))
    assert (vision.size_ratio, vision.speed_ratio, vision.match) == (None, None, 0.977)
    assert vision.sentence.startswith("vision int8 finds the same best image for 97.7%")
