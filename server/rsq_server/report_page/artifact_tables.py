"""The tables of artifacts: what each costs, and how far it is from FP32."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rsq.records import ArtifactRow, Profile, VersionRow
from rsq.units import format_size
from rsq_server.gates import judge
from rsq_server.report_page.formats import (
    DASH,
    describe_ratio,
    format_change,
    format_change_interval,
    format_cosine,
    format_interval,
    format_number,
    format_share,
)
from rsq_server.report_page.measurements import (
    Setting,
    find_profile,
    find_ratio,
    list_batches,
)
from rsq_server.report_page.tables import Cell, Column, Group, Row, Table
from rsq_server.report_page.variants import REFERENCE

_VERDICT = Column("verdict", "What the gates say of it")
_COSTS = (
    Column("peak memory", "Rise over the process after imports; on a GPU the device's memory"),
    Column("p50 / p95 ms", "Median and 95th percentile of a whole batch"),
    Column("items/s", "Images or texts a second"),
)
_ACCURACY: tuple[tuple[Group, tuple[str, ...]], ...] = (
    (
        Group("cosine to FP32", (Column("mean"), Column("min"))),
        ("cosine_mean", "cosine_min"),
    ),
    (
        Group(
            "same answer as FP32",
            (
                Column("top-1", "Queries whose best image is the one FP32 finds"),
                Column("top-3", "Queries with FP32's best image among the first three"),
                Column("overlap@10", "Share of FP32's first ten images that are found again"),
                Column("Kendall τ", "Agreement of the order of FP32's first fifty images"),
            ),
        ),
        ("top1_match", "top3_match", "overlap_at_10", "kendall_tau"),
    ),
    (
        Group(
            "recall change, text to image",
            (Column("@1"), Column("@5"), Column("@10")),
        ),
        ("recall_at_1_change", "recall_at_5_change", "recall_at_10_change"),
    ),
    (
        Group(
            "recall change, image to text",
            (Column("@1"), Column("@5"), Column("@10")),
        ),
        ("image_recall_at_1_change", "image_recall_at_5_change", "image_recall_at_10_change"),
    ),
    (
        Group("zero-shot", (Column("change", "Share of images whose own label is the closest"),)),
        ("zero_shot_change",),
    ),
)


def tabulate_costs(
    version: VersionRow, setting: Setting | None, colours: Mapping[str, str]
) -> Table:
    """Size, memory, latency and throughput as measured with `setting`, each with how many times
    better than FP32 it is, and the verdict."""
    verdicts = judge(version.artifacts)
    batches = list_batches(version.artifacts, setting)
    rows = []
    for row in version.artifacts:
        reference = version.artifact(row.tower, REFERENCE)
        cells = [_size_cell(row, reference)]
        for batch in batches:
            known = find_profile(reference, setting, batch) if reference else None
            cells += _profile_cells(find_profile(row, setting, batch), known)
        verdict = verdicts[row.id]
        cells.append(Cell(verdict.status, verdict.reason, f"pill {verdict.status}"))
        rows.append(Row(_name(row), colours[row.variant], tuple(cells)))
    groups = (
        Group("", (Column("size", "Graph and weights"),)),
        *(Group(f"batch {batch}", _COSTS) for batch in batches),
        Group("", (_VERDICT,)),
    )
    return Table("Cost of each artifact", "artifact", groups, tuple(rows))


def tabulate_accuracy(version: VersionRow, colours: Mapping[str, str]) -> Table:
    """Every artifact with the other tower in FP32; the columns that any artifact has, of the
    others a dash."""
    names = {
        name
        for row in version.artifacts
        for name in (row.evaluation.metrics if row.evaluation else {})
    }
    shown = [
        (Group(group.title, tuple(column for column, _ in pairs)), tuple(n for _, n in pairs))
        for group, metrics in _ACCURACY
        if (pairs := [(c, n) for c, n in zip(group.columns, metrics, strict=True) if n in names])
    ]
    rows = tuple(
        Row(
            _name(row),
            colours[row.variant],
            tuple(_metric_cell(row, name) for _, metrics in shown for name in metrics),
        )
        for row in version.artifacts
    )
    return Table("Accuracy of each artifact", "artifact", tuple(group for group, _ in shown), rows)


def metric_cell(metrics: Mapping[str, float], name: str) -> Cell:
    """A metric by its name: a cosine, a share or a change of a share, with its interval. A change
    whose whole interval lies below 0 is marked as a loss."""
    value = metrics.get(name)
    if name.startswith("cosine"):
        return Cell(format_cosine(value))
    if name == "kendall_tau":
        return Cell(DASH if value is None else f"{value:.3f}")
    if name.endswith("_change"):
        is_loss = metrics.get(f"{name}_high", 0.0) < 0
        interval = format_change_interval(metrics, name)
        return Cell(format_change(value), interval, "loss" if is_loss else "")
    return Cell(format_share(value), format_interval(metrics, name))


def _metric_cell(row: ArtifactRow, name: str) -> Cell:
    metrics = row.evaluation.metrics if row.evaluation else {}
    if row.variant == REFERENCE and name in metrics:
        # FP32 against itself is 100 % by definition; an interval would say otherwise.
        return Cell(metric_cell({name: metrics[name]}, name).text, tone="muted")
    return metric_cell(metrics, name)


def _size_cell(row: ArtifactRow, reference: ArtifactRow | None) -> Cell:
    known = reference.size_bytes if reference and reference is not row else None
    ratio = find_ratio(known, row.size_bytes)
    return Cell(format_size(row.size_bytes), describe_ratio(ratio, "smaller", "larger", "the same"))


def _profile_cells(profile: Profile | None, known: Profile | None) -> list[Cell]:
    if profile is None:
        return [Cell(DASH) for _ in _COSTS]
    memory = latency = rate = None
    if known is not None and known is not profile:
        memory = find_ratio(known.peak_bytes, profile.peak_bytes)
        latency = find_ratio(known.p50_ms, profile.p50_ms)
        rate = find_ratio(profile.per_second, known.per_second)
    times = f"{format_number(profile.p50_ms)} / {format_number(profile.p95_ms)}"
    return [
        Cell(format_size(profile.peak_bytes), describe_ratio(memory, "less", "more", "the same")),
        Cell(times, describe_ratio(latency, "faster", "slower", "the same")),
        Cell(format_number(profile.per_second), describe_ratio(rate, "more", "fewer", "the same")),
    ]


def _name(row: ArtifactRow) -> str:
    return f"{row.tower} {row.variant}"


def list_datasets(rows: Sequence[ArtifactRow]) -> list[tuple[str, str]]:
    """(name, digest) of the data sets that `rows` were evaluated on."""
    found = ((e.dataset, e.dataset_digest) for row in rows if (e := row.evaluation) is not None)
    return list(dict.fromkeys(found))
