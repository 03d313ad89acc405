from __future__ import annotations

from dataclasses import replace

from report_samples import VARIANTS, artifact_id, make_version

from rsq_server.report_page.formats import DASH
from rsq_server.report_page.pair_tables import tabulate_pairs, tabulate_sharing
from rsq_server.report_page.variants import colour_variants

VERSION = make_version()
COLOURS = colour_variants(VARIANTS)


def test_a_matrix_has_vision_down_and_text_across() -> None:
    wanted = (artifact_id("vision", "int8"), artifact_id("text", "fp16"))
    pairs = tuple(
        replace(pair, metrics={"top1_match": 0.5})
        if (pair.vision_id, pair.text_id) == wanted
        else pair
        for pair in VERSION.pairs
    )
    match = tabulate_pairs(replace(VERSION, pairs=pairs), COLOURS)[0]
    assert [column.title for column in match.groups[0].columns] == list(VARIANTS)
    assert [row.head for row in match.rows] == list(VARIANTS)
    shares = [[cell.text for cell in row.cells] for row in match.rows]
    assert shares[2] == ["97.7%", "50.0%", "97.7%"]
    assert shares[1][2] == "97.7%"


def test_the_tint_runs_from_the_least_to_full_agreement() -> None:
    match, overlap, recall = tabulate_pairs(VERSION, COLOURS)
    heats = [cell.heat for row in match.rows for cell in row.cells]
    assert heats[0] == 1.0
    assert heats[-1] == min(h for h in heats if h is not None)
    for table in (match, overlap):
        assert all(0 <= (cell.heat or 0) <= 1 for row in table.rows for cell in row.cells)
    assert all(cell.heat is None for row in recall.rows for cell in row.cells)


def test_pairs_that_were_not_evaluated_are_dashes() -> None:
    tables = tabulate_pairs(replace(VERSION, pairs=VERSION.pairs[:1]), COLOURS)
    texts = [cell.text for row in tables[0].rows for cell in row.cells]
    assert texts == ["100.0%"] + [DASH] * 8
    assert tabulate_pairs(replace(VERSION, pairs=()), COLOURS) == []


def test_pairs_of_artifacts_that_the_version_does_not_hold_stay_out() -> None:
    version = replace(VERSION, artifacts=VERSION.artifacts[:1])
    assert tabulate_pairs(version, COLOURS) == []


def test_a_variant_may_share_unless_mixing_costs_something() -> None:
    def answers(name: str, high: float) -> dict[str, str]:
        rows = tuple(
            replace(
                row,
                evaluation=row.evaluation
                and replace(row.evaluation, metrics={**row.evaluation.metrics, name: high}),
            )
            for row in VERSION.artifacts
        )
        table = tabulate_sharing(replace(VERSION, artifacts=rows), COLOURS)
        assert table is not None
        return {row.head: row.cells[-1].text for row in table.rows}

    assert answers("mixed_overlap_change_high", 0.0)["vision int8"] == "yes"
    assert "vision fp32" not in answers("mixed_overlap_change_high", 0.0)
    assert answers("mixed_overlap_change_high", -0.001)["vision int8"] == "no"
    assert answers("cross_image_overlap_change_high", -0.001)["vision int8"] == "no"


def test_where_mixing_was_not_measured_there_is_no_table() -> None:
    rows = tuple(replace(row, evaluation=None) for row in VERSION.artifacts)
    assert tabulate_sharing(replace(VERSION, artifacts=rows), COLOURS) is None
