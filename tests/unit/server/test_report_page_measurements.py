from __future__ import annotations

from dataclasses import replace

from report_samples import make_artifact

from rsq_server.report_page.measurements import (
    Setting,
    find_common_setting,
    find_profile,
    find_ratio,
    list_batches,
)

CPU = Setting("cpu", "CPUExecutionProvider", 1, 2)


def test_the_setting_that_most_artifacts_share_is_compared() -> None:
    fp32, int8 = make_artifact("vision", "fp32"), make_artifact("vision", "int8")
    other = tuple(replace(p, threads=1, batch=batch) for p in int8.profiles for batch in (2, 4, 16))
    rows = [fp32, replace(int8, profiles=(*other, *int8.profiles))]
    assert find_common_setting(rows) == CPU
    assert list_batches(rows, CPU) == [1, 8]
    assert str(CPU) == "cpu, CPUExecutionProvider, 1 worker, 2 threads"


def test_nodes_and_other_settings_are_not_compared() -> None:
    row = make_artifact("vision", "int8")
    foreign = tuple(replace(p, source="node:7", batch=32) for p in row.profiles)
    row = replace(row, profiles=(*row.profiles, *foreign, replace(row.profiles[0], workers=2)))
    assert list_batches([row], CPU) == [1, 8]
    assert find_profile(row, CPU, 1) == make_artifact("vision", "int8").profiles[0]
    assert find_profile(row, CPU, 32) is None
    only_foreign = replace(row, profiles=foreign)
    assert find_common_setting([only_foreign]) is None
    assert list_batches([only_foreign], None) == []
    assert find_profile(only_foreign, None, None) is None


def test_of_two_profiles_the_newest_counts() -> None:
    row = make_artifact("vision", "int8")
    newer = replace(row.profiles[0], p50_ms=7.0)
    assert find_profile(replace(row, profiles=(*row.profiles, newer)), CPU, 1) == newer


def test_what_is_unknown_or_zero_has_no_ratio() -> None:
    assert find_ratio(6.0, 2.0) == 3.0
    assert find_ratio(None, 2.0) is find_ratio(2.0, None) is find_ratio(2.0, 0.0) is None
