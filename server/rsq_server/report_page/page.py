"""The report page: one file that needs nothing else, neither network nor script."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

from rsq.manifest import TOWERS, Manifest, Tower
from rsq.records import ArtifactRow, Profile, VersionRow
from rsq_server.details import Details
from rsq_server.report_page.artifact_tables import (
    list_datasets,
    tabulate_accuracy,
    tabulate_costs,
)
from rsq_server.report_page.formats import format_share
from rsq_server.report_page.hits import show_hits
from rsq_server.report_page.lineage import show_lineage
from rsq_server.report_page.measurements import (
    Setting,
    find_common_setting,
    find_profile,
    list_batches,
)
from rsq_server.report_page.pair_tables import tabulate_pairs, tabulate_sharing
from rsq_server.report_page.scale import Form, megabytes, plain
from rsq_server.report_page.sensitivity import show_sensitivities
from rsq_server.report_page.similarity import draw_histogram, draw_scatter, largest_difference
from rsq_server.report_page.summary import summarize_towers, write_sentence
from rsq_server.report_page.trade_off import Point, draw_trade_off
from rsq_server.report_page.variants import REFERENCE, colour_variants

_MATCHES = {  # the first that an artifact has is the accuracy of the trade-off charts
    "top1_match": "queries with FP32's best image",
    "overlap_at_10": "overlap with FP32's first ten",
}


@dataclass(frozen=True)
class Chart:
    title: str
    y_label: str
    picture: str


@dataclass(frozen=True)
class Similarity:
    artifact: str
    mark: str
    difference: str
    scatter: str
    histogram: str


def render_report(
    version: VersionRow, manifests: Mapping[str, Manifest], details: Details | None
) -> str:
    """The page as HTML. `manifests` has one for each artifact, by its id; `details` is None where
    the publisher recorded none, and the page says what is missing then."""
    environment = Environment(
        loader=PackageLoader("rsq_server.report_page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"share": format_share}
    colours = colour_variants(row.variant for row in version.artifacts)
    setting = find_common_setting(version.artifacts)
    summaries = summarize_towers(version)
    return environment.get_template("page.html").render(
        version=version,
        sentence=write_sentence(summaries),
        summaries=summaries,
        datasets=list_datasets(version.artifacts),
        setting=setting,
        costs=tabulate_costs(version, setting, colours),
        accuracy=tabulate_accuracy(version, colours),
        trade_offs=_draw_trade_offs(version, setting, colours),
        pairs=tabulate_pairs(version, colours),
        sharing=tabulate_sharing(version, colours),
        details=details,
        sensitivities=show_sensitivities(details) if details else [],
        similarities=_draw_similarities(details, colours) if details else [],
        queries=show_hits(details, colours) if details else [],
        lineage=show_lineage(version.artifacts, manifests, colours),
    )


def _draw_trade_offs(
    version: VersionRow, setting: Setting | None, colours: Mapping[str, str]
) -> list[Chart]:
    """For each tower, accuracy against the median latency and against the peak memory of the
    smallest batch."""
    batch = min(list_batches(version.artifacts, setting), default=None)
    costs: tuple[tuple[str, str, Form, Callable[[Profile], float]], ...] = (
        ("latency", f"p50 ms, batch {batch}", plain, lambda profile: profile.p50_ms),
        ("memory", f"peak MB, batch {batch}", megabytes, lambda profile: profile.peak_bytes),
    )
    charts = []
    for tower in TOWERS:
        found = [
            (row, profile)
            for row in version.artifacts
            if row.tower == tower and (profile := find_profile(row, setting, batch)) is not None
        ]
        name = _find_match([row for row, _ in found])
        for cost, label, form, of in costs:
            points = [
                point
                for row, profile in found
                if (point := _to_point(row, name, of(profile), colours)) is not None
            ]
            if any(point.cost > 0 for point in points):
                picture = draw_trade_off(_describe(tower, cost, points), label, form, points)
                charts.append(Chart(f"{tower}: accuracy and {cost}", _MATCHES[name], picture))
    return charts


def _find_match(rows: list[ArtifactRow]) -> str:
    metrics = {name for row in rows if row.evaluation for name in row.evaluation.metrics}
    return next((name for name in _MATCHES if name in metrics), next(iter(_MATCHES)))


def _to_point(row: ArtifactRow, name: str, cost: float, colours: Mapping[str, str]) -> Point | None:
    metrics = row.evaluation.metrics if row.evaluation else {}
    if name not in metrics:
        return None
    accuracy = metrics[name]
    low, high = (metrics.get(f"{name}_{side}", accuracy) for side in ("low", "high"))
    if row.variant == REFERENCE:  # by definition, and on every set
        low = high = accuracy
    return Point(row.variant, colours[row.variant], cost, accuracy, low, high)


def _describe(tower: Tower, cost: str, points: list[Point]) -> str:
    shares = ", ".join(f"{point.name} {format_share(point.accuracy)}" for point in points)
    return f"Accuracy of the {tower} tower's variants against {cost}: {shares}."


def _draw_similarities(details: Details, colours: Mapping[str, str]) -> list[Similarity]:
    return [
        Similarity(
            artifact=sample.artifact,
            mark=(mark := colours.get(sample.artifact.partition(" ")[2], "v1")),
            difference=f"{largest_difference(sample):.2g}",
            scatter=draw_scatter(sample, mark),
            histogram=draw_histogram(sample, mark),
        )
        for sample in details.similarities
    ]
