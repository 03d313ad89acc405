# ruff: noqa: RUF001 - the page writes typographic signs
from __future__ import annotations

from dataclasses import replace

from report_samples import make_version

from rsq.records import ArtifactRow
from rsq_server.report_page.artifact_tables import (
    list_datasets,
    metric_cell,
    tabulate_accuracy,
    tabulate_costs,
)
from rsq_server.report_page.formats import DASH
from rsq_server.report_page.measurements import find_common_setting
from rsq_server.report_page.tables import Table
from rsq_server.report_page.variants import colour_variants

VERSION = make_version()
COLOURS = colour_variants(row.variant for row in VERSION.artifacts)
SETTING = find_common_setting(VERSION.artifacts)


def titles(table: Table) -> list[str]:
    return [f"{g.title} {c.title}".strip() for g in table.groups for c in g.columns]


def cells_of(table: Table, head: str) -> dict[str, tuple[str, str]]:
    row = next(row for row in table.rows if row.head == head)
    pairs = zip(titles(table), row.cells, strict=True)
    return {title: (cell.text, cell.note) for title, cell in pairs}


def with_artifact(place: int, row: ArtifactRow) -> tuple[ArtifactRow, ...]:
    return (*VERSION.artifacts[:place], row, *VERSION.artifacts[place + 1 :])


def test_costs_are_compared_with_fp32_of_the_same_tower() -> None:
    table = tabulate_costs(VERSION, SETTING, COLOURS)
    assert [row.head for row in table.rows] == [
        f"{tower} {variant}" for tower in ("vision", "text") for variant in ("fp32", "fp16", "int8")
    ]
    assert cells_of(table, "vision int8") == {
        "size": ("100 MB", "4.0× smaller"),
        "batch 1 peak memory": ("200 MB", "2.5× less"),
        "batch 1 p50 / p95 ms": ("20 / 30", "2.5× faster"),
        "batch 1 items/s": ("50", "2.5× more"),
        "batch 8 peak memory": ("200 MB", "2.5× less"),
        "batch 8 p50 / p95 ms": ("160 / 240", "2.5× faster"),
        "batch 8 items/s": ("50", "2.5× more"),
        "verdict": ("ok", ""),
    }
    assert {note for _, note in cells_of(table, "vision fp32").values()} == {""}
    slower = cells_of(table, "text fp16")["batch 1 p50 / p95 ms"]
    assert slower == ("60 / 90", "1.2× slower")


def test_verdicts_are_those_of_the_gates_with_their_reasons() -> None:
    table = tabulate_costs(VERSION, SETTING, COLOURS)
    found = {row.head: cells_of(table, row.head)["verdict"] for row in table.rows}
    assert found["vision fp32"] == ("reference", "")
    assert found["vision fp16"][0] == "unmeasured"
    assert "CUDAExecutionProvider" in found["vision fp16"][1]


def test_what_was_not_measured_is_a_dash() -> None:
    rows = with_artifact(2, replace(VERSION.artifacts[2], profiles=(), evaluation=None))
    version = replace(VERSION, artifacts=rows)
    cells = cells_of(tabulate_costs(version, SETTING, COLOURS), "vision int8")
    assert cells["size"] == ("100 MB", "4.0× smaller")
    assert cells["verdict"][0] == "unmeasured"
    measured = {text for title, (text, _) in cells.items() if title.startswith("batch")}
    assert measured == {DASH}
    accuracy = cells_of(tabulate_accuracy(version, COLOURS), "vision int8")
    assert set(accuracy.values()) == {(DASH, "")}


def test_without_fp32_there_is_nothing_to_compare_with() -> None:
    version = replace(VERSION, artifacts=VERSION.artifacts[1:3])
    cells = cells_of(tabulate_costs(version, SETTING, COLOURS), "vision int8")
    assert {note for title, (_, note) in cells.items() if title != "verdict"} == {""}


def test_accuracy_has_every_metric_in_both_directions() -> None:
    table = tabulate_accuracy(VERSION, COLOURS)
    cells = cells_of(table, "text int8")
    assert cells["cosine to FP32 mean"] == ("0.99977", "")
    assert cells["same answer as FP32 top-1"] == ("97.7%", "96.5–98.3%")
    assert cells["same answer as FP32 Kendall τ"] == ("0.988", "")
    for direction in ("text to image", "image to text"):
        assert [cells[f"recall change, {direction} @{k}"][0] for k in (1, 5, 10)] == ["−2.3%"] * 3
    assert cells["zero-shot change"] == ("+0.5%", "−2.3 to +2.3%")
    assert len(cells) == 13


def test_fp32_has_no_interval_against_itself() -> None:
    cells = cells_of(tabulate_accuracy(VERSION, COLOURS), "vision fp32")
    assert cells["same answer as FP32 top-1"] == ("100.0%", "")
    assert {note for _, note in cells.values()} == {""}


def test_columns_that_no_artifact_has_are_left_out() -> None:
    rows = tuple(
        replace(row, evaluation=row.evaluation and replace(row.evaluation, metrics=metrics))
        for row, metrics in zip(
            VERSION.artifacts[:2],
            ({"cosine_mean": 1.0, "spread_ratio": 1.0}, {"cosine_mean": 0.99, "spread_ratio": 1.0}),
            strict=True,
        )
    )
    table = tabulate_accuracy(replace(VERSION, artifacts=rows), COLOURS)
    assert titles(table) == ["cosine to FP32 mean"]


def test_a_loss_is_one_where_the_whole_interval_says_so() -> None:
    assert metric_cell({"x_change": -0.02, "x_change_high": -0.01}, "x_change").tone == "loss"
    assert metric_cell({"x_change": -0.02, "x_change_high": 0.0}, "x_change").tone == ""
    assert metric_cell({"x_change": -0.02}, "x_change").tone == ""


def test_the_data_sets_are_named_once() -> None:
    assert list_datasets(VERSION.artifacts) == [("aid-rsicd", "d" * 64)]
    assert list_datasets([replace(VERSION.artifacts[0], evaluation=None)]) == []
