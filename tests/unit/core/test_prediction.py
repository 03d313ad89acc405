from __future__ import annotations

from tiny_artifacts import profile

from rsq.prediction import predict_peak
from rsq.providers import CPU_PROVIDER
from rsq.records import ArtifactRow

MB = 10**6


def _measured(peaks: dict[int, list[int]]) -> ArtifactRow:
    profiles = tuple(
        profile("x", peak_bytes=peak, batch=batch)
        for batch, values in peaks.items()
        for peak in values
    )
    return ArtifactRow("x", "text", "fp32", 10 * MB, (CPU_PROVIDER,), True, None, profiles)


def _peak(row: ArtifactRow, batch: int) -> int:
    prediction = predict_peak(row, device_class="cpu", provider=CPU_PROVIDER, batch=batch)
    return prediction.peak_bytes - prediction.margin_bytes


def test_memory_is_linear_between_and_beyond_the_measured_batches() -> None:
    row = _measured({1: [100 * MB], 9: [180 * MB]})
    assert [_peak(row, batch) for batch in (1, 5, 9, 17)] == [
        100 * MB,
        140 * MB,
        180 * MB,
        260 * MB,
    ]


def test_noise_never_predicts_less_for_a_larger_batch() -> None:
    row = _measured({1: [100 * MB], 8: [90 * MB]})
    assert _peak(row, 32) >= 100 * MB


def test_the_spread_of_reports_widens_the_margin_and_the_median_ignores_a_liar() -> None:
    row = _measured({8: [100 * MB, 101 * MB, 5 * MB]})
    prediction = predict_peak(row, device_class="cpu", provider=CPU_PROVIDER, batch=8)
    assert prediction.peak_bytes - prediction.margin_bytes == 100 * MB
    assert prediction.margin_bytes == 96 * MB


def test_without_a_measurement_on_this_device_the_estimate_is_marked_and_wide() -> None:
    row = _measured({8: [100 * MB]})
    prediction = predict_peak(row, device_class="cuda:X", provider=CPU_PROVIDER, batch=8)
    assert prediction.estimated
    assert prediction.peak_bytes > 2 * row.size_bytes
