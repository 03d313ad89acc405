from __future__ import annotations

import dataclasses

import pytest

from rsq.manifest import Tower
from rsq.records import ArtifactRow, Profile
from rsq_server.latency_gate import measure_pace, precision_bits

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


def _profile(p50_ms: float, *, batch: int = 1, provider: str = CPU) -> Profile:
    return Profile(
        "a" * 64, "cpu", provider, batch, 1, 2, p50_ms, p50_ms, 1.0, 1.0, 1, 1, 1, "publisher"
    )


def _row(
    variant: str, *profiles: Profile, providers: tuple[str, ...] = (CPU,), tower: Tower = "vision"
) -> ArtifactRow:
    return ArtifactRow(variant, tower, variant, 1, providers, True, None, profiles)


FP32 = _row("fp32", _profile(100), _profile(800, batch=8))


@pytest.mark.parametrize(
    ("variant", "bits"),
    [
        ("fp32", 32), ("fp16", 16), ("bf16", 16), ("int8", 8), ("int8-mixed", 8), ("int4-x", 4),
        ("int8-static-s8", 8), ("int8-torch", 8), ("other", None), ("int8x", None), ("", None),
    ],
)  # fmt: skip
def test_the_name_of_a_variant_tells_its_precision(variant: str, bits: int | None) -> None:
    assert precision_bits(variant) == bits


def test_a_variant_is_slower_when_every_batch_says_so_and_the_figures_are_named() -> None:
    slow = _row("int8", _profile(111), _profile(900, batch=8))
    pace = measure_pace(slow, [FP32, slow])
    assert pace.slower == (
        "slower than fp32 on CPUExecutionProvider: p50 111.00 ms against 100.00 ms at batch 1, "
        "p50 900.00 ms against 800.00 ms at batch 8",
    )
    assert pace.is_slower_everywhere


@pytest.mark.parametrize(
    "profiles",
    [
        (_profile(200), _profile(799, batch=8)),  # faster at one batch
        (_profile(109), _profile(879, batch=8)),  # within the noise
        (_profile(40), _profile(300, batch=8)),
        (_profile(200, batch=4),),  # nothing to compare with
    ],
)
def test_one_batch_without_a_loss_is_enough(profiles: tuple[Profile, ...]) -> None:
    row = _row("int8", *profiles)
    pace = measure_pace(row, [FP32, row])
    assert not pace.slower
    assert not pace.is_slower_everywhere
    assert not pace.unmeasured


def test_calls_too_short_to_tell_are_not_slower() -> None:
    short, shorter = _row("int8", _profile(0.5)), _row("fp32", _profile(0.1))
    assert not measure_pace(short, [shorter, short]).slower
    long = _row("int8", _profile(0.7))
    assert measure_pace(long, [shorter, long]).slower


def test_only_profiles_of_one_setting_by_the_publisher_are_compared() -> None:
    slow = _profile(900)
    for change in ({"device": "cuda:X"}, {"workers": 2}, {"threads": 1}, {"source": "node:1"}):
        row = _row("int8", dataclasses.replace(slow, **change))
        pace = measure_pace(row, [FP32, row])
        assert not pace.slower, change
        assert pace.unmeasured == ((CPU,) if "source" in change else ())


def test_only_higher_precision_of_the_same_tower_counts() -> None:
    slow, quick = _profile(500), _profile(1)
    row = _row("int8-mixed", slow)
    others = [_row("int8", quick), _row("fp32", quick, tower="text"), _row("other", quick), row]
    assert not measure_pace(row, others).slower
    half = _row("fp16", quick)
    assert "slower than fp16" in measure_pace(row, [*others, half]).slower[0]
    assert not measure_pace(half, [*others, half]).slower
    assert not measure_pace(FP32, [FP32, half]).slower


def test_slow_on_one_provider_only_is_not_slower_everywhere() -> None:
    both = (CPU, CUDA)
    fp32 = _row("fp32", _profile(100), _profile(10, provider=CUDA), providers=both)
    on_cpu = _row("fp16", _profile(150), providers=both)
    pace = measure_pace(on_cpu, [fp32, on_cpu])
    assert pace.unmeasured == (CUDA,)
    assert len(pace.slower) == 1
    assert not pace.is_slower_everywhere
    good = _row("fp16", _profile(150), _profile(5, provider=CUDA), providers=both)
    assert not measure_pace(good, [fp32, good]).is_slower_everywhere
    bad = _row("fp16", _profile(150), _profile(20, provider=CUDA), providers=both)
    assert measure_pace(bad, [fp32, bad]).is_slower_everywhere


def test_a_provider_it_is_not_for_does_not_matter() -> None:
    row = _row("int8", _profile(900, provider=CUDA), _profile(20))
    fp32 = _row("fp32", _profile(10, provider=CUDA), _profile(100))
    assert not measure_pace(row, [fp32, row]).slower
