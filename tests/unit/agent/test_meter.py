from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from rsq.call_record import CallRecord, observe_call
from rsq_agent.meter import RECENT, Meter, TowerLabels, TowerMeter

LABELS = TowerLabels("tiny", "text", "fp32")


def _call(meter: TowerMeter, total_ms: float) -> None:
    meter.observe_call(queue_ms=1.0, preprocess_ms=2.0, inference_ms=3.0, total_ms=total_ms)


def test_percentiles_are_of_the_recent_calls_and_zero_before_the_first() -> None:
    meter = TowerMeter(LABELS)
    assert meter.recent().p50_ms == meter.recent().p99_ms == meter.recent().mean_batch == 0
    for _ in range(10):
        _call(meter, 1e6)
    for total_ms in range(1, RECENT + 1):
        _call(meter, total_ms)
    assert meter.recent().p50_ms == RECENT / 2
    assert meter.recent().p99_ms == pytest.approx(RECENT * 0.99, abs=1)


def test_batches_count_their_items_and_fill_the_buckets() -> None:
    meter = Meter()
    tower = meter.open_tower("tiny", "text", "fp32", artifact_id="a")
    for items in (1, 2, 8, 500):
        tower.observe_batch(items, queue_ms=0.1, inference_ms=20_000.0)
    counts = meter.towers()[LABELS]
    assert tower.items == counts.items == 511
    assert tower.recent().mean_batch == pytest.approx(511 / 4)
    assert counts.batch_items.counts == [1, 1, 0, 1, 0, 0, 0, 0, 1]
    assert counts.stages["queue"].counts[0] == 4
    assert counts.stages["inference"].counts[-1] == 4


def test_what_was_counted_outlives_the_tower_while_its_own_counts_start_anew() -> None:
    meter = Meter()
    old = meter.open_tower("tiny", "text", "fp32", artifact_id="a")
    old.observe_batch(3, queue_ms=1.0, inference_ms=1.0)
    old.count_refused(2)
    new = meter.open_tower("tiny", "text", "fp32", artifact_id="b")
    new.observe_batch(4, queue_ms=1.0, inference_ms=1.0)
    for _ in range(2):  # closing twice counts once
        meter.close_tower(old)
    assert new.items == 4
    assert meter.towers()[LABELS].items == 7
    assert meter.towers()[LABELS].refused == 2


def test_nothing_is_lost_between_threads() -> None:
    tower = TowerMeter(LABELS)
    with ThreadPoolExecutor(8) as pool:
        for _ in range(8):
            pool.submit(
                lambda: [tower.observe_batch(1, queue_ms=1, inference_ms=1) for _ in range(2000)]
            )
    assert tower.items == 16_000


def test_an_embedding_tells_the_record_of_its_call() -> None:
    tower = TowerMeter(LABELS, "a" * 64)
    with observe_call(CallRecord("m", "r"), []) as record:
        _call(tower, 6.0)
    assert record.artifact_id == "a" * 64
    assert [times.total_ms for times in record.embeddings] == [6.0]


def test_requests_and_activations_are_counted_by_outcome() -> None:
    meter = Meter()
    assert meter.last_activation is None
    for code in ("OK", "OK", "NOT_FOUND"):
        meter.count_call(CallRecord("m", "r", code=code))
    for outcome in ("OK", "PROBE_FAILED"):
        meter.record_activation(outcome)
    assert meter.requests() == {("m", "OK"): 2, ("m", "NOT_FOUND"): 1}
    assert meter.activations() == {"OK": 1, "PROBE_FAILED": 1}
    assert meter.last_activation is not None
    assert meter.last_activation.outcome == "PROBE_FAILED"
