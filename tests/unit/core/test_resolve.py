from __future__ import annotations

import dataclasses
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_artifacts import build_version, profile

from rsq.errors import NothingFits
from rsq.manifest import Tower
from rsq.prediction import Prediction, predict_peak, share
from rsq.providers import CPU_PROVIDER
from rsq.records import ArtifactEvaluation, ArtifactRow, PairEvaluation, Profile, VersionRow
from rsq.resolve import Device, Reason, Request, accuracy_of, resolve

CPU = Device("cpu", (CPU_PROVIDER,))
MB = 10**6


def _row(
    tower: Tower,
    variant: str,
    *,
    peak_mb: float | None,
    top1: float | None,
    p50_ms: float = 10.0,
    size_mb: float = 10.0,
    providers: tuple[str, ...] = (CPU_PROVIDER,),
) -> ArtifactRow:
    key = f"{tower}-{variant}"
    profiles: tuple[Profile, ...] = ()
    if peak_mb is not None:
        profiles = (profile(key, peak_bytes=int(peak_mb * MB), p50_ms=p50_ms),)
    evaluation = None
    if top1 is not None:
        evaluation = ArtifactEvaluation(key, "set", "d" * 64, {"top1_match": top1})
    return ArtifactRow(
        key, tower, variant, int(size_mb * MB), providers, True, evaluation, profiles
    )


def _typical() -> VersionRow:
    return build_version(
        [
            _row("vision", "fp32", peak_mb=400, top1=1.0, p50_ms=100),
            _row("vision", "fp16", peak_mb=450, top1=1.0, p50_ms=120),
            _row("vision", "int8", peak_mb=160, top1=0.98, p50_ms=40),
            _row("text", "fp32", peak_mb=600, top1=1.0, p50_ms=40),
            _row("text", "int8", peak_mb=200, top1=0.97, p50_ms=15),
        ]
    )


def _reasons(version: VersionRow, request: Request) -> dict[str, Reason]:
    return {c.id: c.reason for c in resolve(version, request).candidates}


def test_with_room_the_most_accurate_wins_and_latency_breaks_the_tie() -> None:
    reasons = _reasons(_typical(), Request(CPU, budget_bytes=2000 * MB))
    assert reasons == {
        "vision-fp32": Reason.FITS,
        "vision-fp16": Reason.SLOWER,
        "vision-int8": Reason.LESS_ACCURATE,
        "text-fp32": Reason.FITS,
        "text-int8": Reason.LESS_ACCURATE,
    }


def test_between_int8_and_fp32_the_quantized_one_is_taken_and_the_others_say_why() -> None:
    resolution = resolve(_typical(), Request(CPU, budget_bytes=500 * MB))
    assert [choice.id for choice in resolution.chosen] == ["vision-int8", "text-int8"]
    details = {c.id: (c.reason, c.detail) for c in resolution.candidates}
    assert details["text-fp32"][0] == Reason.OVER_BUDGET
    assert "500 MB" in details["text-fp32"][1]
    assert "618 MB" in details["text-fp32"][1]  # 600 MB and the 3 % margin
    # It would fit alone; beside the chosen text tower it doesn't, and the sentence says so.
    assert details["vision-fp32"][0] == Reason.OVER_BUDGET
    assert "with text int8" in details["vision-fp32"][1]


def test_the_budget_covers_both_towers_together() -> None:
    resolution = resolve(_typical(), Request(CPU, budget_bytes=700 * MB))
    assert [choice.variant for choice in resolution.chosen] == ["fp32", "int8"]
    assert resolution.predicted_peak_bytes <= 700 * MB


def test_a_part_of_two_towers_is_counted_once_where_one_runtime_runs_both() -> None:
    version = build_version(
        [
            _row("vision", "int8", peak_mb=200, top1=1.0, providers=("A",)),
            _row("text", "int8", peak_mb=100, top1=1.0, providers=("A", "B")),
        ]
    )
    profiled = tuple(
        dataclasses.replace(
            row,
            profiles=tuple(
                dataclasses.replace(row.profiles[0], provider=name) for name in row.providers
            ),
        )
        for row in version.artifacts
    )
    version = dataclasses.replace(version, artifacts=profiled)

    one, two = (
        resolve(version, Request(Device("cpu", providers))) for providers in (("A",), ("B", "A"))
    )
    assert (one.predicted_peak_bytes, two.predicted_peak_bytes) == (306 * MB, 309 * MB)
    for resolution in (one, two):
        parts = sum(choice.predicted_peak_bytes for choice in resolution.chosen)
        assert (
            parts == resolution.predicted_peak_bytes == resolution.ranking[0].predicted_peak_bytes
        )


def test_one_tower_may_use_the_whole_budget() -> None:
    request = Request(CPU, towers=("text",), budget_bytes=700 * MB)
    resolution = resolve(_typical(), request)
    assert [choice.id for choice in resolution.chosen] == ["text-fp32"]
    assert all(candidate.tower == "text" for candidate in resolution.candidates)


def test_nothing_fits_carries_every_candidate() -> None:
    with pytest.raises(NothingFits, match="smallest needs 366 MB") as caught:
        resolve(_typical(), Request(CPU, budget_bytes=1 * MB))
    assert len(caught.value.candidates) == 5
    assert {c["reason"] for c in caught.value.candidates} == {"OVER_BUDGET"}


def test_what_the_node_cannot_run_or_nobody_evaluated_is_set_aside() -> None:
    version = build_version(
        [
            _row("vision", "trt", peak_mb=1, top1=1.0, providers=("TensorrtExecutionProvider",)),
            _row("vision", "new", peak_mb=1, top1=None),
            _row("vision", "int8", peak_mb=100, top1=0.9),
        ]
    )
    reasons = _reasons(version, Request(CPU, towers=("vision",)))
    assert reasons["vision-trt"] == Reason.NO_PROVIDER
    assert reasons["vision-new"] == Reason.UNMEASURED
    assert reasons["vision-int8"] == Reason.FITS
    with pytest.raises(NothingFits, match="no text artifact"):
        resolve(version, Request(CPU))


def test_a_pin_takes_its_variant_within_the_budget() -> None:
    resolution = resolve(_typical(), Request(CPU, budget_bytes=2000 * MB, pin="int8"))
    assert {choice.variant for choice in resolution.chosen} == {"int8"}
    assert {c.reason for c in resolution.candidates} == {Reason.FITS, Reason.NOT_PINNED}
    with pytest.raises(NothingFits):
        resolve(_typical(), Request(CPU, budget_bytes=100 * MB, pin="int8"))
    with pytest.raises(NothingFits, match="no int8-static vision"):
        resolve(_typical(), Request(CPU, pin="int8-static"))


def test_a_measured_pair_counts_more_than_its_parts() -> None:
    version = dataclasses.replace(
        _typical(),
        pairs=(PairEvaluation("vision-int8", "text-int8", "s", "d", {"top1_match": 0.955}),),
    )
    rows = [version.artifact("vision", "int8"), version.artifact("text", "int8")]
    assert accuracy_of(version, [row for row in rows if row]) == 0.955
    rows = [version.artifact("vision", "fp32"), version.artifact("text", "int8")]
    assert accuracy_of(version, [row for row in rows if row]) == pytest.approx(0.97)


def test_the_provider_that_the_node_prefers_is_chosen() -> None:
    both = ("CUDAExecutionProvider", CPU_PROVIDER)
    version = build_version([_row("text", "fp32", peak_mb=1, top1=1.0, providers=both)])
    device = Device("cpu", both)
    assert resolve(version, Request(device, ("text",))).chosen[0].provider == both[0]


_rows = st.builds(
    _row,
    st.sampled_from(["vision", "text"]),
    st.sampled_from(["fp32", "fp16", "int8", "mixed"]),
    peak_mb=st.none() | st.integers(1, 1000),
    top1=st.none() | st.sampled_from([0.9, 0.95, 1.0]),
    p50_ms=st.sampled_from([1.0, 2.0, 3.0]),
    providers=st.sampled_from([(CPU_PROVIDER,), ("CUDAExecutionProvider",)]),
)
_versions = st.lists(_rows, max_size=8, unique_by=lambda row: row.id).map(build_version)


@given(_versions, st.integers(1, 2500))
def test_the_choice_fits_is_the_best_that_fits_and_is_deterministic(
    version: VersionRow, budget_mb: int
) -> None:
    request = Request(CPU, budget_bytes=budget_mb * MB)
    usable = {
        tower: [
            row
            for row in version.artifacts
            if row.tower == tower and row.evaluation and CPU_PROVIDER in row.providers
        ]
        for tower in ("vision", "text")
    }

    def predict(row: ArtifactRow) -> Prediction:
        return predict_peak(row, device_class="cpu", provider=CPU_PROVIDER, batch=8)

    fitting = [
        pair
        for pair in itertools.product(usable["vision"], usable["text"])
        if sum(one.peak_bytes for one in share(list(map(predict, pair)))) <= budget_mb * MB
    ]
    try:
        resolution = resolve(version, request)
    except NothingFits as e:
        assert not fitting
        assert len(e.candidates) == len(version.artifacts)
        return
    assert resolution.predicted_peak_bytes <= budget_mb * MB
    chosen = [row for row in version.artifacts if row.id in {c.id for c in resolution.chosen}]
    assert accuracy_of(version, chosen) == max(accuracy_of(version, pair) for pair in fitting)
    assert len(resolution.candidates) == len(version.artifacts)
    assert sum(c.reason == Reason.FITS for c in resolution.candidates) == 2
    shuffled = dataclasses.replace(version, artifacts=version.artifacts[::-1])
    assert {c.id for c in resolve(shuffled, request).chosen} == {c.id for c in resolution.chosen}


@given(_versions, st.integers(1, 2500), st.integers(0, 1000))
def test_more_memory_never_makes_the_choice_less_accurate(
    version: VersionRow, budget_mb: int, more_mb: int
) -> None:
    def accuracy(budget: int) -> float:
        try:
            resolution = resolve(version, Request(CPU, budget_bytes=budget * MB))
        except NothingFits:
            return 0.0
        ids = {choice.id for choice in resolution.chosen}
        return accuracy_of(version, [row for row in version.artifacts if row.id in ids])

    assert accuracy(budget_mb) <= accuracy(budget_mb + more_mb)
