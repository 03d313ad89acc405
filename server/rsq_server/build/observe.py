"""What flows through an FP32 tower's linear layers while it sees the calibration inputs.

The graph runs in ONNX Runtime with the watched activations as further outputs. Only what is asked
for is computed, a few sites at a time, so that memory stays bounded whatever the tower's size.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
from numpy.typing import NDArray

from rsq.errors import BadSource
from rsq.onnx_session import session_options
from rsq.providers import CPU_PROVIDER
from rsq_server.build.external_data import open_model
from rsq_server.build.integer import TensorScale
from rsq_server.build.linears import Site, find_sites

Inputs = Callable[[], Iterator[NDArray[Any]]]
Calibrator = Literal["minmax", "percentile", "entropy"]

MAX_MOMENT_BYTES = 1 << 30  # second moments held at once
_LEVELS = 255
_BINS = 2048
_ENTROPY_BINS = 128  # of the quantized distribution that entropy compares with, as TensorRT does
_MIN_STEP = 1e-12


@dataclass(frozen=True)
class Range:
    """Of one activation: how many rows an input item has, and the least and greatest value in each
    channel, float32 [width]."""

    rows_per_item: int
    lows: NDArray[np.float32]
    highs: NDArray[np.float32]

    @property
    def magnitudes(self) -> NDArray[np.float32]:
        """The largest magnitude in each channel, float32 [width]."""
        return np.maximum(np.abs(self.lows), np.abs(self.highs))


class Observer:
    """Watches the tower in `folder` on `inputs`, batches that can be read again and again."""

    def __init__(self, folder: Path, inputs: Inputs, *, threads: int) -> None:
        self._folder = folder
        self._inputs = inputs
        self._threads = threads
        self._ranges: dict[str, Range] | None = None

    def ranges(self) -> dict[str, Range]:
        """By site name; measured once."""
        if self._ranges is None:
            self._ranges = self._measure_ranges()
        return self._ranges

    def scales(
        self,
        calibrator: Calibrator,
        *,
        percentile: float,
        factors: Mapping[str, NDArray[np.float32]],
    ) -> dict[str, TensorScale]:
        """One uint8 scale and zero point for each site, whose channels `factors` divide first;
        `percentile` of all values lies inside the range where that is the calibrator."""
        bounds = {}
        for name, found in self.ranges().items():
            divisor = factors.get(name, np.float32(1))
            bounds[name] = float((found.lows / divisor).min()), float((found.highs / divisor).max())
        if calibrator != "minmax":
            bounds = self._clip(bounds, calibrator, percentile, factors)
        return {name: _to_scale(low, high) for name, (low, high) in bounds.items()}

    def moments(self) -> Iterator[tuple[Site, NDArray[np.float64]]]:
        """Every site with the second moment E[x x^T] float64 [width, width] of its rows."""
        sites = find_sites(open_model(self._folder).graph)
        for group in _group_by_memory(sites):
            totals = {s.name: np.zeros((s.width, s.width), np.float32) for s in group}
            counts = dict.fromkeys(totals, 0)
            for _, rows in self._watch(group):
                for name, found in rows.items():
                    totals[name] += found.T @ found
                    counts[name] += len(found)
            for site in group:
                yield site, totals.pop(site.name).astype(np.float64) / counts[site.name]

    def _measure_ranges(self) -> dict[str, Range]:
        ranges: dict[str, Range] = {}
        for items, rows in self._watch(find_sites(open_model(self._folder).graph)):
            for name, found in rows.items():
                lows, highs = found.min(axis=0), found.max(axis=0)
                known = ranges.get(name)
                if known is not None:
                    lows, highs = np.minimum(known.lows, lows), np.maximum(known.highs, highs)
                ranges[name] = Range(len(found) // items, lows, highs)
        return ranges

    def _clip(
        self,
        bounds: Mapping[str, tuple[float, float]],
        calibrator: Calibrator,
        percentile: float,
        factors: Mapping[str, NDArray[np.float32]],
    ) -> dict[str, tuple[float, float]]:
        from onnxruntime.quantization.calibrate import HistogramCollector

        collector = HistogramCollector(
            method=calibrator,
            symmetric=False,
            num_bins=_BINS,
            num_quantized_bins=_ENTROPY_BINS,
            percentile=percentile,
            scenario="same",
        )
        with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does
            for _, rows in self._watch(find_sites(open_model(self._folder).graph)):
                collector.collect(
                    {name: [found / factors.get(name, 1)] for name, found in rows.items()}
                )
            thresholds = collector.compute_collection_result()
        clipped: dict[str, tuple[float, float]] = {}
        for name, (least, greatest) in bounds.items():
            low, high, *_ = thresholds[name]
            clipped[name] = max(float(low), least), min(float(high), greatest)
        return clipped

    def _watch(self, sites: Sequence[Site]) -> Iterator[tuple[int, dict[str, NDArray[np.float32]]]]:
        """Batch after batch: its items, and the rows [n, width] of each site by its name."""
        model = open_model(self._folder)
        values = {site.value.name: site.name for site in sites}
        watched = [site.value for site in find_sites(model.graph) if site.value.name in values]
        for value in watched:
            value.type = ir.TensorType(ir.DataType.FLOAT)
        model.graph.outputs.extend(watched)
        # A graph beside the tower's own weights: the copy has none of its own.
        with tempfile.NamedTemporaryFile(suffix=".onnx", dir=self._folder) as file:
            ir.save(model, file.name)
            session = _open(Path(file.name), self._threads)
        (tower_input,) = session.get_inputs()
        names = [str(value.name) for value in watched]
        for batch in self._inputs():
            found = session.run(names, {tower_input.name: batch})
            yield (
                len(batch),
                {
                    values[name]: rows.reshape(-1, rows.shape[-1])
                    for name, rows in zip(names, found, strict=True)
                },
            )


def _open(graph: Path, threads: int) -> ort.InferenceSession:
    return ort.InferenceSession(str(graph), session_options(threads), providers=[CPU_PROVIDER])


def _group_by_memory(sites: Sequence[Site]) -> Iterator[list[Site]]:
    group: list[Site] = []
    size_bytes = 0
    for site in sites:
        moment_bytes = 4 * site.width**2
        if group and size_bytes + moment_bytes > MAX_MOMENT_BYTES:
            yield group
            group, size_bytes = [], 0
        group.append(site)
        size_bytes += moment_bytes
    if group:
        yield group


def _to_scale(low: float, high: float) -> TensorScale:
    """Covers `low` to `high` and 0, which padding and products of zeros rely on."""
    low, high = min(low, 0.0), max(high, 0.0)
    if not np.isfinite([low, high]).all():
        raise BadSource("The checkpoint gives NaN or infinity on the calibration set.")
    step = max((high - low) / _LEVELS, _MIN_STEP)
    return TensorScale(step, int(np.clip(round(-low / step), 0, _LEVELS)))
