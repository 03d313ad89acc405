"""Artifacts that a device could run, with what is predicted of them there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rsq.prediction import Prediction, predict_p50_ms, predict_peak
from rsq.records import ArtifactRow
from rsq.resolution import Device, Request


@dataclass(frozen=True)
class Option:
    row: ArtifactRow
    provider: str
    prediction: Prediction
    p50_ms: float  # infinite where nothing was measured

    @property
    def peak_bytes(self) -> int:
        return self.prediction.peak_bytes

    def __str__(self) -> str:
        return f"{self.row.tower} {self.row.variant}"


def find_provider(row: ArtifactRow, device: Device) -> str | None:
    """The one that the node prefers of those that the artifact is for."""
    return next((name for name in device.providers if name in row.providers), None)


def to_option(
    row: ArtifactRow, provider: str, request: Request, speeds: Mapping[str, float]
) -> Option:
    """`speeds` are of `rsq.prediction.measure_speeds`."""
    device_class = request.device.device_class
    return Option(
        row,
        provider,
        predict_peak(
            row,
            device_class=device_class,
            provider=provider,
            batch=request.max_batch,
            node_id=request.node_id,
        ),
        predict_p50_ms(
            row,
            device_class=device_class,
            provider=provider,
            speeds=speeds,
            node_id=request.node_id,
        ),
    )
