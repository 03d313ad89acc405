from __future__ import annotations

from dataclasses import replace

import pytest
from tiny_artifacts import profile

from rsq.prediction import measure_speeds, predict_p50_ms, predict_peak
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


def test_what_lies_beyond_the_measured_batches_has_a_margin_of_its_own() -> None:
    row = _measured({1: [100 * MB], 9: [180 * MB]})
    margins = [
        predict_peak(row, device_class="cpu", provider=CPU_PROVIDER, batch=batch).margin_bytes
        for batch in (5, 9, 17)
    ]
    assert margins == [pytest.approx(mb * MB, abs=2) for mb in (4.2, 5.4, 7.8 + 8.0)]


def test_noise_never_predicts_less_for_a_larger_batch() -> None:
    row = _measured({1: [100 * MB], 8: [90 * MB]})
    assert _peak(row, 32) >= 100 * MB


def _reported(peaks: dict[str, int]) -> ArtifactRow:
    """Peaks at batch 8 by source."""
    profiles = tuple(
        replace(profile("x", peak_bytes=peak), source=source) for source, peak in peaks.items()
    )
    return ArtifactRow("x", "text", "fp32", 10 * MB, (CPU_PROVIDER,), True, None, profiles)


def test_the_spread_of_nodes_widens_the_margin() -> None:
    close = {"publisher": 100 * MB, "node:a": 100 * MB, "node:b": 101 * MB, "node:c": 100 * MB}
    wide = {"publisher": 100 * MB, "node:a": 110 * MB, "node:b": 90 * MB, "node:c": 112 * MB}
    margins = [
        predict_peak(
            _reported(peaks), device_class="cpu", provider=CPU_PROVIDER, batch=8
        ).margin_bytes
        for peaks in (close, wide)
    ]
    assert margins[0] == 3 * MB
    assert margins[1] > 10 * MB


@pytest.mark.parametrize("lie", [1, 5 * MB, 10**15])
def test_one_liar_changes_nothing(lie: int) -> None:
    honest = {"publisher": 100 * MB, "node:a": 101 * MB, "node:b": 99 * MB}
    row = _reported({**honest, "node:liar": lie})
    prediction = predict_peak(row, device_class="cpu", provider=CPU_PROVIDER, batch=8)
    assert prediction.peak_bytes - prediction.margin_bytes == pytest.approx(100 * MB, rel=0.01)
    assert prediction.margin_bytes <= 0.25 * 100 * MB


def test_however_many_nodes_move_the_publishers_figure_by_a_factor_at_most() -> None:
    row = _reported({"publisher": 100 * MB, **{f"node:{i}": 900 * MB for i in range(20)}})
    assert _peak(row, 8) == 200 * MB


def test_what_the_node_measured_itself_counts_before_the_others() -> None:
    row = _reported({"publisher": 100 * MB, "node:me": 130 * MB})
    own = predict_peak(row, device_class="cpu", provider=CPU_PROVIDER, batch=8, node_id="me")
    assert own.peak_bytes - own.margin_bytes == 130 * MB
    assert own.basis == "measured on this node"


def test_without_a_measurement_on_this_device_the_estimate_is_marked_and_wide() -> None:
    row = _measured({8: [100 * MB]})
    prediction = predict_peak(row, device_class="cuda:X", provider=CPU_PROVIDER, batch=8)
    assert prediction.estimated
    assert prediction.peak_bytes > 2 * row.size_bytes


def test_a_report_below_what_the_weights_take_is_not_believed() -> None:
    row = _reported({"publisher": 1, "node:a": 1, "node:b": 1})
    assert _peak(row, 8) == row.size_bytes // 2


def test_another_device_of_the_family_serves_as_a_marked_estimate() -> None:
    one = replace(profile("x", peak_bytes=800 * MB), device="cuda:NVIDIA L4")
    row = ArtifactRow("x", "text", "fp32", 10 * MB, (CPU_PROVIDER,), True, None, (one,))
    on_gpu = predict_peak(row, device_class="cuda:NVIDIA A10", provider=CPU_PROVIDER, batch=8)
    assert on_gpu.estimated
    assert (on_gpu.peak_bytes, on_gpu.margin_bytes) == (1000 * MB, 200 * MB)
    on_cpu = predict_peak(row, device_class="cpu", provider=CPU_PROVIDER, batch=8)
    assert on_cpu.basis == "from 10 MB of files"


def test_an_estimate_grows_with_the_batch() -> None:
    row = _measured({})
    peaks = [_peak(row, batch) for batch in (1, 8, 64)]
    assert peaks == sorted(set(peaks))


def _timed(artifact: str, p50_ms: dict[str, float]) -> ArtifactRow:
    """Times of batch 1 by source."""
    profiles = tuple(
        replace(profile(artifact, peak_bytes=MB, batch=1, p50_ms=ms), source=source)
        for source, ms in p50_ms.items()
    )
    return ArtifactRow(artifact, "text", artifact, MB, (CPU_PROVIDER,), True, None, profiles)


def _p50_ms(rows: list[ArtifactRow], node_id: str | None = None) -> list[float]:
    speeds = measure_speeds(rows, "cpu")
    return [
        predict_p50_ms(
            row, device_class="cpu", provider=CPU_PROVIDER, speeds=speeds, node_id=node_id
        )
        for row in rows
    ]


def test_a_slow_node_does_not_make_what_it_runs_look_slow() -> None:
    """It measured int8 only, at three times the publisher's; that says nothing of int8."""
    slow_nodes = {f"node:{i}": 30.0 for i in range(5)}
    rows = [_timed("fp32", {"publisher": 20.0}), _timed("int8", {"publisher": 10.0, **slow_nodes})]
    assert _p50_ms(rows) == [20.0, 10.0]
    # On such a node itself everything counts at its own speed.
    assert _p50_ms(rows, node_id="0") == [60.0, 30.0]


def test_nodes_that_find_one_variant_slower_against_another_are_heard() -> None:
    nodes = {f"node:{i}": 30.0 for i in range(3)}
    rows = [
        _timed("fp32", {"publisher": 20.0, **nodes}),
        _timed("fp16", {"publisher": 20.0, **nodes}),
        _timed("int8", {"publisher": 20.0, **dict.fromkeys(nodes, 60.0)}),
    ]
    fp32_ms, _, int8_ms = _p50_ms(rows)
    assert int8_ms == 2 * fp32_ms


def test_what_was_never_timed_is_infinitely_slow() -> None:
    assert _p50_ms([_timed("new", {"node:a": 1.0})]) == [float("inf")]
