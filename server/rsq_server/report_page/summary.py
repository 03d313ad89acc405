"""The verdict in one sentence: the best variant of each tower against FP32."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rsq.manifest import TOWERS, Tower
from rsq.records import ArtifactRow, VersionRow
from rsq_server.gates import judge
from rsq_server.report_page.formats import describe_ratio, format_interval, format_share
from rsq_server.report_page.measurements import (
    find_common_setting,
    find_profile,
    find_ratio,
    list_batches,
)
from rsq_server.report_page.variants import REFERENCE


@dataclass(frozen=True)
class TowerSummary:
    """A tower's best variant. `size_ratio` and `speed_ratio` are how many times smaller and faster
    than FP32 it is, None where that is unknown; `speed_ratio` is of the median latency at `batch`.
    `match` is the share of queries whose best image is FP32's."""

    tower: Tower
    variant: str
    batch: int | None
    size_ratio: float | None
    speed_ratio: float | None
    match: float | None
    match_interval: str

    @property
    def size(self) -> str:
        return describe_ratio(self.size_ratio, "smaller", "larger", "about as large")

    @property
    def speed(self) -> str:
        return describe_ratio(self.speed_ratio, "faster", "slower", "about as fast")

    @property
    def sentence(self) -> str:
        """Without its full stop."""
        gains = [self.size, self.speed and f"{self.speed} at batch {self.batch}"]
        parts = [f"is {' and '.join(filter(None, gains))}"] if any(gains) else []
        if self.match is not None:
            interval = f" (95% interval {self.match_interval})" if self.match_interval else ""
            parts.append(
                f"finds the same best image for {format_share(self.match)} of the queries{interval}"
            )
        return f"{self.tower} {self.variant} {', and '.join(parts) or 'was not measured'}"


def summarize_towers(version: VersionRow) -> list[TowerSummary]:
    """One for each tower that has a variant beside FP32 which the gates don't refuse."""
    summaries = [_summarize(version, tower) for tower in TOWERS]
    return [summary for summary in summaries if summary is not None]


def write_sentence(summaries: Sequence[TowerSummary]) -> str:
    if not summaries:
        return "There is no variant to compare with FP32 that the gates let pass."
    return f"Next to FP32, {'; '.join(summary.sentence for summary in summaries)}."


def _summarize(version: VersionRow, tower: Tower) -> TowerSummary | None:
    verdicts = judge(version.artifacts)
    rows = [
        row
        for row in version.artifacts
        if row.tower == tower and row.variant != REFERENCE
        # What must run one item at a time is for comparison.
        if row.batch_invariant and not verdicts[row.id].is_refused
    ]
    if not rows:
        return None
    setting = find_common_setting(version.artifacts)
    batch = min(list_batches(version.artifacts, setting), default=None)

    def latency(row: ArtifactRow) -> float | None:
        profile = find_profile(row, setting, batch)
        return profile.p50_ms if profile else None

    def rank(row: ArtifactRow) -> tuple[bool, float, int]:
        """Measured ones first, the fastest of them, the smallest of equals."""
        found = latency(row)
        return found is None, found or 0.0, row.size_bytes

    best = min(rows, key=rank)
    reference = version.artifact(tower, REFERENCE)
    metrics = best.evaluation.metrics if best.evaluation else {}
    return TowerSummary(
        tower=tower,
        variant=best.variant,
        batch=batch,
        size_ratio=find_ratio(reference.size_bytes, best.size_bytes) if reference else None,
        speed_ratio=find_ratio(latency(reference), latency(best)) if reference else None,
        match=metrics.get("top1_match"),
        match_interval=format_interval(metrics, "top1_match"),
    )
