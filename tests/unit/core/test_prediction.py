from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_artifacts import profile

from rsq.device_class import CPU_WITHOUT_VNNI
from rsq.prediction import (
    SHARED_BYTES,
    Prediction,
    measure_speeds,
    predict_p50_ms,
    predict_peak,
    share,
)
from rsq.providers import CPU_PROVIDER, OPENVINO_PROVIDER
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


@given(
    st.dictionaries(st.sampled_from([1, 8, 32]), st.integers(MB, 4000 * MB), min_size=1),
    st.integers(1, 256),
    st.integers(0, 256),
)
def test_a_prediction_covers_what_was_measured_and_grows_with_the_batch(
    peaks: dict[int, int], batch: int, more: int
) -> None:
    row = _measured({at: [peak] for at, peak in peaks.items()})

    def predict(at: int) -> int:
        return predict_peak(row, device_class="cpu", provider=CPU_PROVIDER, batch=at).peak_bytes

    assert all(predict(at) >= peak for at, peak in peaks.items())
    assert predict(batch) <= predict(batch + more)


def test_a_large_batch_that_was_measured_leaves_nothing_to_extrapolate() -> None:
    """Of releases before only batches 1 and 8 are known."""
    older = _measured({1: [100 * MB], 8: [170 * MB]})
    newer = _measured({1: [100 * MB], 8: [170 * MB], 32: [410 * MB]})
    for batch in (16, 32):
        assert _peak(older, batch) == _peak(newer, batch)
        wide, narrow = (
            predict_peak(row, device_class="cpu", provider=CPU_PROVIDER, batch=batch).margin_bytes
            for row in (older, newer)
        )
        assert narrow == pytest.approx(_peak(newer, batch) * 0.03, abs=2)
        assert wide == pytest.approx(narrow + (batch - 8) * MB, abs=2)


def _predicted(expected_bytes: int, margin_bytes: int) -> Prediction:
    return Prediction(expected_bytes + margin_bytes, margin_bytes, False, "measured")


def test_what_two_towers_share_stands_for_the_smaller_margin_as_far_as_it_goes() -> None:
    vision, text = _predicted(400 * MB, 12 * MB), _predicted(200 * MB, 6 * MB)
    assert share([vision]) == [vision]
    assert share([vision, text]) == [vision, _predicted(200 * MB, 0)]
    assert share([text, vision]) == [_predicted(200 * MB, 0), vision]
    large = _predicted(2000 * MB, 60 * MB)
    assert share([large, large]) == [large, _predicted(2000 * MB, 60 * MB - SHARED_BYTES)]


@given(st.lists(st.builds(_predicted, st.integers(0, 10**10), st.integers(0, 10**9)), min_size=1))
def test_together_they_keep_what_is_expected_and_the_widest_margin(
    predictions: list[Prediction],
) -> None:
    shared = share(predictions)
    pairs = list(zip(predictions, shared, strict=True))
    assert all(0 <= after.margin_bytes <= before.margin_bytes for before, after in pairs)
    assert all(
        after.peak_bytes - after.margin_bytes == before.peak_bytes - before.margin_bytes
        for before, after in pairs
    )
    widest = max(one.margin_bytes for one in predictions)
    assert max(one.margin_bytes for one in shared) == widest


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


def test_a_cpu_without_vnni_is_given_room_for_converted_weights() -> None:
    def peak_without(variant: str, provider: str = CPU_PROVIDER) -> Prediction:
        measured = replace(profile("x", peak_bytes=100 * MB), provider=provider)
        row = ArtifactRow("x", "text", variant, 80 * MB, (provider,), True, None, (measured,))
        return predict_peak(row, device_class=CPU_WITHOUT_VNNI, provider=provider, batch=8)

    assert peak_without("int8").peak_bytes == 1.25 * (100 + 0.7 * 80) * MB
    assert peak_without("mine").peak_bytes == 1.25 * (100 + 2.0 * 80) * MB
    assert "converted" in peak_without("int8").basis
    for variant, provider in (("fp32", CPU_PROVIDER), ("int8", OPENVINO_PROVIDER)):
        assert peak_without(variant, provider).peak_bytes == 125 * MB


def test_what_was_measured_without_vnni_holds_there() -> None:
    measured = replace(profile("x", peak_bytes=180 * MB), device=CPU_WITHOUT_VNNI)
    row = ArtifactRow("x", "text", "int8", 80 * MB, (CPU_PROVIDER,), True, None, (measured,))
    there = predict_peak(row, device_class=CPU_WITHOUT_VNNI, provider=CPU_PROVIDER, batch=8)
    assert not there.estimated
    assert there.peak_bytes - there.margin_bytes == 180 * MB


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
