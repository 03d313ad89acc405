"""How much memory an artifact will need and how long it will take: from what was measured, else
from its size."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from rsq.device_class import CPU_WITHOUT_VNNI, family, is_cpu
from rsq.providers import CPU_PROVIDER
from rsq.records import PUBLISHER, ArtifactRow, Profile
from rsq.trusted_reports import Believed, believe, collect_votes
from rsq.units import format_size

# Margins on a measured peak: allocators and thread stacks differ a little from run to run.
MEASURED_MARGIN = 0.03
# Of what lies beyond the largest measured batch, on top: from 8 to 32 images the FP32 vision tower
# of base size grew 8 % faster than from 1 to 8.
EXTRAPOLATED_MARGIN = 0.10
# Two standard deviations of what the sources reported cover all but one node in forty.
SPREAD_SIGMAS = 2.0
# Where nothing was measured: weights are held up to twice at the worst moment of loading, and
# activations come on top: a fixed part, and a share of the weights for each item of a batch. With
# the margin above every CPU peak in bench/results, the half precision towers' being the nearest.
ESTIMATED_FACTOR = 2.0
ESTIMATED_BYTES = 64 << 20
ESTIMATED_ITEM_SHARE = 0.1
# A process on a GPU also holds a context and its libraries' kernels there.
ESTIMATED_CONTEXT_BYTES = 512 << 20
# Of an estimate, also of one from another device of the same family; no margin is wider.
ESTIMATED_MARGIN = 0.25
# On a CPU without VNNI int8 weights are held again as uint8, beyond what was measured with it: by
# variant as a share of the files, of others as of int8-wide, which takes most. Rounded up from
# bench/results/without_vnni.json.
CONVERTED_SHARES = {"fp32": 0.0, "fp16": 0.0, "int8": 0.7, "int8-static": 0.7}
MOST_CONVERTED_SHARE = 2.0
# No report is believed below this share of the file size. Weights are held once at least, but for
# rows of a memory-mapped embedding table that no text has used; the least measured is 0.89.
FLOOR_SHARE = 0.5
# What two towers of one runtime have in common: its code in memory and its threads, which every
# measurement of a tower by itself counts. On a CPU each of 45 pairs took 11 to 17 MB less than its
# towers did apart (bench/results/budget.json).
SHARED_BYTES = 8 << 20


@dataclass(frozen=True)
class Prediction:
    """Peak memory at the largest batch. `margin_bytes` is part of `peak_bytes`; `basis` says where
    it comes from, as in "measured by the publisher"."""

    peak_bytes: int
    margin_bytes: int
    estimated: bool
    basis: str


def predict_peak(
    row: ArtifactRow, *, device_class: str, provider: str, batch: int, node_id: str | None = None
) -> Prediction:
    """Peak memory of `row` at `batch`, linear between measured batches and beyond: what the node
    `node_id` itself measured, else what the sources agree on for this device class, else for
    another device of its family, else an estimate from the file sizes."""
    floor = row.size_bytes * FLOOR_SHARE
    here = profiles_on(row, device_class, provider)
    own = _own_points(here, node_id)
    points = {**_believed_points(here), **own}
    if points:
        expected = max(_interpolate(points, batch), floor)
        spread = max(point.spread for point in points.values())
        margin = max(expected * MEASURED_MARGIN, spread * SPREAD_SIGMAS)
        if len(points) > 1 and batch > max(points):  # a single one is scaled up far enough
            beyond = expected - _interpolate(points, max(points))
            margin += max(beyond, 0.0) * EXTRAPOLATED_MARGIN
        margin = min(margin, expected * ESTIMATED_MARGIN)
        basis = "measured on this node" if own else _name_sources(points.values())
        return _predict(expected, margin, estimated=False, basis=basis)
    kin = _believed_points(_profiles_of_family(row, device_class, provider))
    if kin:
        expected = max(_interpolate(kin, batch), floor)
        basis = f"{_name_sources(kin.values())} on another {family(device_class)} device"
        if converted := _converted_bytes(row, device_class, provider):
            expected += converted
            basis += ", and its weights converted"
    else:
        expected = _estimate(row.size_bytes, batch=batch, on_gpu=not is_cpu(device_class))
        basis = f"from {format_size(row.size_bytes)} of files"
    return _predict(expected, expected * ESTIMATED_MARGIN, estimated=True, basis=basis)


def share(predictions: Sequence[Prediction]) -> list[Prediction]:
    """The same in one process and runtime. What the towers have in common stands for all margins
    but the widest, as far as it goes: what is expected of each, and that margin, remain."""
    widest = max(range(len(predictions)), key=lambda at: predictions[at].margin_bytes)
    return [
        one if at == widest else _narrow(one, min(one.margin_bytes, SHARED_BYTES))
        for at, one in enumerate(predictions)
    ]


def estimate_peak(size_bytes: int, *, batch: int, on_gpu: bool) -> int:
    """Peak memory at `batch`, margin included, of an artifact of which only the size is known."""
    return int(_estimate(size_bytes, batch=batch, on_gpu=on_gpu) * (1 + ESTIMATED_MARGIN))


def measure_speeds(rows: Sequence[ArtifactRow], device_class: str) -> dict[str, float]:
    """By source: its time over the publisher's, the median over all that both measured on that
    device class. Nodes of one class differ in speed, so only what a node measures of one artifact
    against another can be compared with what others measured."""
    ratios: dict[str, list[float]] = {}
    for row in rows:
        for provider in {profile.provider for profile in row.profiles}:
            here = profiles_on(row, device_class, provider)
            for votes in collect_votes(here, lambda profile: profile.p50_ms).values():
                for source, value in votes.items():
                    if PUBLISHER in votes:
                        ratios.setdefault(source, []).append(value / votes[PUBLISHER])
    return {source: statistics.median(values) for source, values in ratios.items()}


def predict_p50_ms(
    row: ArtifactRow,
    *,
    device_class: str,
    provider: str,
    speeds: Mapping[str, float],
    node_id: str | None = None,
) -> float:
    """Milliseconds of the smallest measured batch, which is one item as a rule; infinite where
    nothing believable was measured. `speeds` are of `measure_speeds`. What the node `node_id`
    measured itself comes first, and what others measured is scaled to its speed."""
    here = profiles_on(row, device_class, provider)
    own_source = _source(node_id)
    by_batch = collect_votes(here, lambda profile: profile.p50_ms)
    for _, votes in sorted(by_batch.items()):
        if own_source in votes:
            return votes[own_source]
        believed = believe({source: ms / speeds.get(source, 1.0) for source, ms in votes.items()})
        if believed is not None:
            return believed.value * speeds.get(own_source, 1.0)
    return math.inf


def profiles_on(row: ArtifactRow, device_class: str, provider: str) -> list[Profile]:
    """What was measured of `row` on that device class with that provider."""
    return [
        profile
        for profile in row.profiles
        if profile.device == device_class and profile.provider == provider
    ]


def _profiles_of_family(row: ArtifactRow, device_class: str, provider: str) -> list[Profile]:
    return [
        profile
        for profile in row.profiles
        if family(profile.device) == family(device_class) and profile.provider == provider
    ]


def _converted_bytes(row: ArtifactRow, device_class: str, provider: str) -> float:
    if device_class != CPU_WITHOUT_VNNI or provider != CPU_PROVIDER:
        return 0.0
    return row.size_bytes * CONVERTED_SHARES.get(row.variant, MOST_CONVERTED_SHARE)


def _source(node_id: str | None) -> str:
    return f"node:{node_id}" if node_id is not None else ""


def _believed_points(profiles: Sequence[Profile]) -> dict[int, Believed]:
    by_batch = collect_votes(profiles, lambda profile: profile.peak_bytes)
    believed = {batch: believe(votes) for batch, votes in by_batch.items()}
    return {batch: point for batch, point in believed.items() if point is not None}


def _own_points(profiles: Sequence[Profile], node_id: str | None) -> dict[int, Believed]:
    own = [profile for profile in profiles if profile.source == _source(node_id)]
    by_batch = collect_votes(own, lambda profile: profile.peak_bytes)
    return {
        batch: Believed(value, 0.0, 1, False)
        for batch, votes in by_batch.items()
        for value in votes.values()
    }


def _name_sources(points: Iterable[Believed]) -> str:
    points = list(points)
    nodes = max(point.nodes for point in points)
    publisher = any(point.publisher for point in points)
    names = ["the publisher"] if publisher else []
    if nodes:
        names.append(f"{nodes} node{'s' if nodes > 1 else ''}")
    return f"measured by {' and '.join(names)}"


def _estimate(size_bytes: int, *, batch: int, on_gpu: bool) -> float:
    weights = size_bytes * (ESTIMATED_FACTOR + ESTIMATED_ITEM_SHARE * batch)
    return weights + ESTIMATED_BYTES + (ESTIMATED_CONTEXT_BYTES if on_gpu else 0)


def _predict(expected: float, margin: float, *, estimated: bool, basis: str) -> Prediction:
    return Prediction(int(expected) + int(margin), int(margin), estimated, basis)


def _narrow(prediction: Prediction, by_bytes: int) -> Prediction:
    return replace(
        prediction,
        peak_bytes=prediction.peak_bytes - by_bytes,
        margin_bytes=prediction.margin_bytes - by_bytes,
    )


def _interpolate(points: Mapping[int, Believed], batch: int) -> float:
    """Memory at `batch` on the line through the nearest measured batches. It never shrinks as the
    batch grows, whatever the noise, and a single point is scaled up but never down."""
    known = sorted(points)
    values: dict[int, float] = {}
    highest = 0.0
    for at in known:
        highest = max(highest, points[at].value)
        values[at] = highest
    if batch in values:
        return values[batch]
    if len(known) == 1:
        return values[known[0]] * max(1.0, batch / known[0])
    upper = next((i for i, at in enumerate(known) if at > batch), len(known) - 1)
    low, high = known[max(upper - 1, 0)], known[max(upper, 1)]
    slope = (values[high] - values[low]) / (high - low)
    return max(values[low] + slope * (batch - low), values[known[0]])
