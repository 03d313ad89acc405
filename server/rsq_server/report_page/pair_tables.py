"""Which artifacts may work together: pairs of towers, and two precisions in one collection."""

from __future__ import annotations

from collections.abc import Mapping

from rsq.records import PairEvaluation, VersionRow
from rsq.sharing import may_share
from rsq_server.report_page.artifact_tables import metric_cell
from rsq_server.report_page.formats import DASH
from rsq_server.report_page.tables import Cell, Column, Group, Row, Table
from rsq_server.report_page.variants import REFERENCE

_PAIR_METRICS = {
    "top1_match": "Same best image as the FP32 pair",
    "overlap_at_10": "Overlap with FP32's first ten",
    "recall_at_10_change": "Change of recall@10, text to image",
}
_COOLEST = 0.95  # the least agreement that a scale of colours begins at
_SHARING = {
    "mixed_top1_match": Column("top-1", "Queries whose best image is that of the pure index"),
    "mixed_overlap_at_10": Column("overlap@10", "With the first ten of the pure FP32 index"),
    "mixed_overlap_change": Column("change", "Overlap minus that of the variant's own index"),
    "cross_image_overlap_at_10": Column("overlap@10", "The variant's images searching FP32's"),
    "cross_image_overlap_change": Column("change", "Overlap minus that within the variant's index"),
}
_MIXED = 3  # the first of them are of the mixed index


def tabulate_pairs(version: VersionRow, colours: Mapping[str, str]) -> list[Table]:
    """A matrix for each metric that any pair has: vision variants down, text variants across."""
    variants = {row.id: row.variant for row in version.artifacts}
    pairs = {
        (variants[pair.vision_id], variants[pair.text_id]): pair
        for pair in version.pairs
        if pair.vision_id in variants and pair.text_id in variants
    }
    return [
        _tabulate_metric(name, caption, version, pairs, colours)
        for name, caption in _PAIR_METRICS.items()
        if any(name in pair.metrics for pair in pairs.values())
    ]


def tabulate_sharing(version: VersionRow, colours: Mapping[str, str]) -> Table | None:
    """Whether a collection may hold vectors of a vision variant beside FP32's; None where that was
    not measured."""
    rows = []
    for row in version.artifacts:
        metrics = row.evaluation.metrics if row.evaluation else {}
        if row.variant == REFERENCE or not metrics.keys() & _SHARING.keys():
            continue
        allowed = may_share(metrics)
        verdict = Cell("yes" if allowed else "no", "", f"pill {'ok' if allowed else 'refused'}")
        cells = (*(metric_cell(metrics, name) for name in _SHARING), verdict)
        rows.append(Row(f"{row.tower} {row.variant}", colours[row.variant], cells))
    if not rows:
        return None
    columns = tuple(_SHARING.values())
    groups = (
        Group("index half FP32, half variant", columns[:_MIXED]),
        Group("images searching images across", columns[_MIXED:]),
        Group("", (Column("may share", "Mixing costs no more than using the variant alone"),)),
    )
    return Table("Vectors of two precisions in one collection", "artifact", groups, tuple(rows))


def _tabulate_metric(
    name: str,
    caption: str,
    version: VersionRow,
    pairs: Mapping[tuple[str, str], PairEvaluation],
    colours: Mapping[str, str],
) -> Table:
    values = [pair.metrics[name] for pair in pairs.values() if name in pair.metrics]
    low = min(_COOLEST, *values)

    def cell_of(vision: str, text: str) -> Cell:
        pair = pairs.get((vision, text))
        if pair is None:
            return Cell(DASH)
        cell = metric_cell(pair.metrics, name)
        value = pair.metrics.get(name)
        if value is None or name.endswith("_change"):
            return cell
        return Cell(cell.text, cell.note, heat=(value - low) / (1 - low))

    visions, texts = (
        [row.variant for row in version.artifacts if row.tower == tower]
        for tower in ("vision", "text")
    )
    return Table(
        caption,
        "vision \N{RIGHTWARDS ARROW} text",
        (Group("", tuple(Column(text) for text in texts)),),
        tuple(
            Row(vision, colours[vision], tuple(cell_of(vision, text) for text in texts))
            for vision in visions
        ),
    )
