"""Objectives, floors, pins, budgets a tower and a reserve; and what holds for any rows."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_artifacts import build_version, profile

from rsq.errors import BadInput, NothingFits
from rsq.manifest import Tower
from rsq.providers import CPU_PROVIDER
from rsq.records import ArtifactEvaluation, ArtifactRow, Profile, VersionRow
from rsq.resolve import Device, Objective, Reason, Request, Resolution, accuracy_of, resolve

CPU = Device("cpu", (CPU_PROVIDER,))
MB = 10**6


def _row(
    tower: Tower,
    variant: str,
    *,
    top1: float | None,
    peak_mb: int,
    p50_ms: float,
    extra: tuple[Profile, ...] = (),
) -> ArtifactRow:
    key = f"{tower}-{variant}"
    evaluation = None
    if top1 is not None:
        evaluation = ArtifactEvaluation(key, "set", "d" * 64, {"top1_match": top1})
    profiles = (profile(key, peak_bytes=peak_mb * MB, p50_ms=p50_ms), *extra)
    return ArtifactRow(key, tower, variant, MB, (CPU_PROVIDER,), True, evaluation, profiles)


VISION = build_version(
    [
        _row("vision", "fp32", top1=1.0, peak_mb=400, p50_ms=100),
        _row("vision", "fp16", top1=1.0, peak_mb=500, p50_ms=120),
        _row("vision", "fast", top1=0.95, peak_mb=300, p50_ms=30),
        _row("vision", "small", top1=0.90, peak_mb=100, p50_ms=60),
    ]
)
ASKED = Request(CPU, ("vision",))


def _reasons(resolution: Resolution) -> dict[str, Reason]:
    return {candidate.variant: candidate.reason for candidate in resolution.candidates}


@pytest.mark.parametrize(
    ("objective", "floor", "variant"),
    [
        (Objective.ACCURACY, None, "fp32"),
        (Objective.LATENCY, None, "fast"),
        (Objective.MEMORY, None, "small"),
        (Objective.LATENCY, 0.97, "fp32"),
        (Objective.MEMORY, 0.95, "fast"),
    ],
)
def test_each_objective_takes_its_best_above_the_floor(
    objective: Objective, floor: float | None, variant: str
) -> None:
    resolution = resolve(VISION, replace(ASKED, objective=objective, min_accuracy=floor))
    assert [choice.variant for choice in resolution.chosen] == [variant]
    assert resolution.ranking[0].variants == (("vision", variant),)
    assert len(resolution.ranking) == 4


def test_every_loser_is_told_what_decided() -> None:
    by_latency = resolve(VISION, replace(ASKED, objective=Objective.LATENCY, min_accuracy=0.93))
    assert _reasons(by_latency) == {
        "fast": Reason.FITS,
        "fp16": Reason.SLOWER,
        "fp32": Reason.SLOWER,
        "small": Reason.BELOW_ACCURACY,
    }
    by_memory = resolve(VISION, replace(ASKED, objective=Objective.MEMORY))
    assert _reasons(by_memory)["fast"] == Reason.LARGER
    twins = build_version(
        [_row("vision", name, top1=1.0, peak_mb=10, p50_ms=1) for name in ("a", "b")]
    )
    assert _reasons(resolve(twins, ASKED)) == {"a": Reason.FITS, "b": Reason.TIED}


def test_a_floor_that_nothing_reaches_says_what_the_best_is() -> None:
    lossy = replace(VISION, artifacts=VISION.artifacts[2:])
    with pytest.raises(NothingFits, match=r"most accurate .* keeps 95\.00%\. Lower --min") as error:
        resolve(lossy, replace(ASKED, min_accuracy=0.99))
    assert {c["reason"] for c in error.value.candidates} == {"BELOW_ACCURACY"}
    with pytest.raises(BadInput, match="share from 0 to 1"):
        resolve(VISION, replace(ASKED, min_accuracy=98))


def test_what_fits_only_beside_something_inaccurate_is_over_the_budget() -> None:
    version = build_version(
        [
            _row("vision", "good", top1=1.0, peak_mb=100, p50_ms=1),
            _row("text", "good", top1=1.0, peak_mb=100, p50_ms=1),
            _row("text", "poor", top1=0.5, peak_mb=10, p50_ms=1),
        ]
    )
    with pytest.raises(NothingFits, match="that is accurate enough fits 150 MB") as error:
        resolve(version, Request(CPU, budget_bytes=150 * MB, min_accuracy=0.9))
    details = {c["id"]: (c["reason"], c["detail"]) for c in error.value.candidates}
    assert details["vision-good"][0] == "OVER_BUDGET"
    assert "not accurate enough" in details["vision-good"][1]
    assert details["text-poor"][0] == "BELOW_ACCURACY"


def test_a_pin_overrules_objective_and_floor_and_warns() -> None:
    resolution = resolve(VISION, replace(ASKED, pin="small", min_accuracy=0.99))
    assert [choice.variant for choice in resolution.chosen] == ["small"]
    below, instead = resolution.warnings
    assert "90.00%" in below
    assert "99.00%" in below
    assert "vision fp32 would be chosen for accuracy" in instead
    slower = resolve(VISION, replace(ASKED, pin="fp16")).warnings
    assert any("slower than fp32 on cpu: 120.0 ms against 100.0 ms" in line for line in slower)
    assert resolve(VISION, replace(ASKED, pin="fp32")).warnings == ()
    with pytest.raises(NothingFits, match="smallest needs 103 MB"):
        resolve(VISION, replace(ASKED, pin="small", budget_bytes=50 * MB))


def test_a_pin_may_name_what_nobody_evaluated() -> None:
    version = build_version([_row("vision", "new", top1=None, peak_mb=10, p50_ms=1)])
    with pytest.raises(NothingFits):
        resolve(version, ASKED)
    resolution = resolve(version, replace(ASKED, pin="new"))
    assert "never measured" in resolution.warnings[0]
    assert resolution.ranking[0].accuracy is None


def test_a_tower_has_a_budget_of_its_own_beside_the_joint_one() -> None:
    towers: tuple[Tower, ...] = ("vision", "text")
    version = build_version(
        [
            _row(tower, name, top1=top1, peak_mb=peak, p50_ms=1)
            for tower in towers
            for name, top1, peak in (("big", 1.0, 400), ("little", 0.9, 100))
        ]
    )
    request = Request(CPU, budget_bytes=600 * MB, tower_budgets={"vision": 200 * MB})
    resolution = resolve(version, request)
    assert [choice.id for choice in resolution.chosen] == ["vision-little", "text-big"]
    refused = next(c for c in resolution.candidates if c.id == "vision-big")
    assert refused.reason == Reason.OVER_BUDGET
    assert "vision budget 200 MB" in refused.detail
    with pytest.raises(NothingFits, match="Raise --vram-text"):
        resolve(version, Request(CPU, tower_budgets={"text": 50 * MB}))


def test_collections_take_their_part_of_the_budget() -> None:
    request = replace(ASKED, budget_bytes=450 * MB)
    assert resolve(VISION, request).chosen[0].variant == "fp32"
    resolution = resolve(VISION, replace(request, reserved_bytes=100 * MB))
    assert resolution.chosen[0].variant == "fast"
    fp32 = next(c for c in resolution.candidates if c.variant == "fp32")
    assert "budget 450 MB less 100 MB reserved" in fp32.detail


def test_what_was_estimated_is_said() -> None:
    unknown = replace(ASKED, device=Device("cuda:NVIDIA L4", (CPU_PROVIDER,)))
    resolution = resolve(VISION, replace(unknown, objective=Objective.LATENCY))
    assert any("never measured on cuda:NVIDIA L4" in line for line in resolution.warnings)
    assert any(line.startswith("The latency of") for line in resolution.warnings)
    with pytest.raises(NothingFits, match=r"is estimated to need .* Raise --vram, lower"):
        resolve(VISION, replace(unknown, budget_bytes=MB))


def test_a_node_that_measured_more_than_it_has_gets_the_next_best() -> None:
    mine = replace(profile("vision-fp32", peak_bytes=600 * MB, p50_ms=100), source="node:me")
    rows = [replace(VISION.artifacts[0], profiles=(*VISION.artifacts[0].profiles, mine))]
    version = build_version([*rows, *VISION.artifacts[1:]])
    request = replace(ASKED, budget_bytes=550 * MB)
    assert resolve(version, request).chosen[0].variant == "fp32"
    assert resolve(version, replace(request, node_id="me")).chosen[0].variant == "fp16"


_VARIANTS = ("fp32", "fp16", "int8", "mixed")
_rows = st.builds(
    _row,
    st.sampled_from(["vision", "text"]),
    st.sampled_from(_VARIANTS),
    top1=st.none() | st.sampled_from([0.8, 0.9, 0.95, 1.0]),
    peak_mb=st.integers(1, 1000),
    p50_ms=st.sampled_from([1.0, 2.0, 3.0]),
)
_versions = st.lists(_rows, max_size=8, unique_by=lambda row: row.id).map(build_version)
_requests = st.builds(
    Request,
    st.just(CPU),
    budget_bytes=st.none() | st.integers(1, 2500 * MB),
    pin=st.none() | st.sampled_from(_VARIANTS),
    objective=st.sampled_from(list(Objective)),
    min_accuracy=st.none() | st.sampled_from([0.75, 0.9, 1.0]),
    tower_budgets=st.dictionaries(st.sampled_from(["vision", "text"]), st.integers(1, 1000 * MB)),
    reserved_bytes=st.sampled_from([0, 200 * MB]),
)


def _resolve(version: VersionRow, request: Request) -> Resolution | None:
    try:
        return resolve(version, request)
    except NothingFits as error:
        assert str(error)
        _check_reasons(version, [(c["id"], c["reason"]) for c in error.candidates])
        return None


def _check_reasons(version: VersionRow, reasons: list[tuple[str, str]]) -> None:
    assert sorted(key for key, _ in reasons) == sorted(row.id for row in version.artifacts)
    assert all(reason in list(Reason) for _, reason in reasons)


def _accuracy(version: VersionRow, resolution: Resolution) -> float:
    ids = {choice.id for choice in resolution.chosen}
    return accuracy_of(version, [row for row in version.artifacts if row.id in ids])


@settings(max_examples=60, deadline=None)
@given(_versions, _requests)
def test_no_choice_breaks_a_limit_and_every_candidate_has_one_reason(
    version: VersionRow, request: Request
) -> None:
    resolution = _resolve(version, request)
    if resolution is None:
        return
    _check_reasons(version, [(c.id, c.reason) for c in resolution.candidates])
    fitting = {c.id for c in resolution.candidates if c.reason == Reason.FITS}
    assert fitting == {choice.id for choice in resolution.chosen}
    if request.available_bytes is not None:
        assert resolution.predicted_peak_bytes <= request.available_bytes
    for choice in resolution.chosen:
        assert choice.predicted_peak_bytes <= request.tower_budgets.get(choice.tower, 10**12)
    if request.pin is not None:
        assert {choice.variant for choice in resolution.chosen} == {request.pin}
        ranked = resolution.ranking[0].accuracy
        if (
            request.min_accuracy is not None
            and ranked is not None
            and ranked < request.min_accuracy
        ):
            assert any("below the" in line for line in resolution.warnings)
    elif request.min_accuracy is not None:
        assert _accuracy(version, resolution) >= request.min_accuracy


@settings(max_examples=60, deadline=None)
@given(_versions, _requests, st.integers(0, 1000 * MB))
def test_a_larger_budget_is_never_worse_by_the_objective(
    version: VersionRow, request: Request, more_bytes: int
) -> None:
    small = _resolve(version, request)
    if small is None or request.budget_bytes is None:
        return
    large = resolve(version, replace(request, budget_bytes=request.budget_bytes + more_bytes))
    match request.objective:
        case Objective.ACCURACY:
            assert _accuracy(version, large) >= _accuracy(version, small)
        case Objective.LATENCY:
            assert sum(c.p50_ms or 0 for c in large.chosen) <= sum(
                c.p50_ms or 0 for c in small.chosen
            )
        case Objective.MEMORY:
            assert large.predicted_peak_bytes <= small.predicted_peak_bytes


@settings(max_examples=40, deadline=None)
@given(_versions, _requests, st.randoms(use_true_random=False))
def test_the_order_of_rows_and_reports_does_not_matter(
    version: VersionRow, request: Request, random: Random
) -> None:
    rows = list(version.artifacts)
    random.shuffle(rows)
    shuffled = replace(version, artifacts=tuple(rows))
    assert _resolve(version, request) == _resolve(shuffled, request)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(0.99, 1.01), min_size=0, max_size=5),
    st.integers(-(10**15), 10**15),
    st.floats(),
    st.sampled_from([1, 8, 64]),
    st.sampled_from(list(Objective)),
)
def test_one_lying_node_does_not_change_the_choice(
    noise: list[float], lie_bytes: int, lie_ms: float, lie_batch: int, objective: Objective
) -> None:
    """Honest nodes differ by a hundredth; the prediction moves by four times that at most, the
    choice not at all."""

    def told(row: ArtifactRow) -> ArtifactRow:
        own = row.profiles[0]
        honest = [
            replace(
                own,
                source=f"node:{i}",
                peak_bytes=int(own.peak_bytes * factor),
                p50_ms=own.p50_ms * factor,
            )
            for i, factor in enumerate(noise)
        ]
        return replace(row, profiles=(own, *honest))

    version = replace(VISION, artifacts=tuple(told(row) for row in VISION.artifacts))
    request = replace(ASKED, budget_bytes=450 * MB, objective=objective)
    before = resolve(version, request)
    for index, row in enumerate(version.artifacts):
        lie = replace(
            row.profiles[0],
            source="node:liar",
            batch=lie_batch,
            peak_bytes=lie_bytes,
            p50_ms=lie_ms,
        )
        rows = list(version.artifacts)
        rows[index] = replace(row, profiles=(*row.profiles, lie))
        after = resolve(replace(version, artifacts=tuple(rows)), request)
        assert [c.id for c in after.chosen] == [c.id for c in before.chosen]
        assert after.predicted_peak_bytes == pytest.approx(before.predicted_peak_bytes, rel=0.08)
