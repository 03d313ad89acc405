from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_artifacts import build_artifact
from tiny_node import stock

from rsq_agent.cache import Cache
from rsq_agent.inference.footprint import file_bytes, load_seconds
from rsq_agent.inference.load_times import UNKNOWN_TRIAL_SECONDS, LoadTimes
from rsq_agent.inference.loading import pace_keys
from rsq_agent.inference.pace import Pace
from rsq_agent.inference.pace_file import PaceFile
from rsq_agent.state import Activation

PACE = Pace(1, 1, 1, 10.0, trial_seconds=3.0)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "agent")


@pytest.fixture
def activation(cache: Cache, tmp_path: Path) -> Activation:
    return stock(cache, [build_artifact(tmp_path / "text", "text")])


def test_a_pace_that_has_to_be_found_takes_its_time(cache: Cache, activation: Activation) -> None:
    times = LoadTimes(cache, threads=1)
    loading = load_seconds(cache, activation)
    assert times.expect(activation) == loading + UNKNOWN_TRIAL_SECONDS
    (key,) = pace_keys(cache, activation, 1)
    paces = PaceFile(cache.paces_path)
    paces.write(key, replace(PACE, was_busy=True))
    assert times.expect(activation) == loading + PACE.trial_seconds
    paces.write(key, PACE)
    assert times.expect(activation) == loading


def test_the_next_load_is_expected_to_take_as_long_as_the_last_one(
    cache: Cache, activation: Activation, tmp_path: Path
) -> None:
    paces = PaceFile(cache.paces_path)
    times = LoadTimes(cache, threads=1)
    with times.timing(activation):
        time.sleep(0.3)
        for key in pace_keys(cache, activation, 1):
            paces.write(key, replace(PACE, trial_seconds=0.1))  # part of this load, not of the next
    assert 0.2 <= times.expect(activation) < 5
    larger = build_artifact(tmp_path / "large", "text", padding_bytes=1_000_000)
    twice = stock(cache, [larger], version=2)
    growth = file_bytes(cache, twice) / file_bytes(cache, activation)
    expected = times.expect(activation) * growth + UNKNOWN_TRIAL_SECONDS
    # A trial of the same tower took 0.1 s, so nothing is guessed any more.
    assert times.expect(twice) == pytest.approx(expected - UNKNOWN_TRIAL_SECONDS + 0.1)


def test_a_load_that_fails_teaches_nothing(cache: Cache, activation: Activation) -> None:
    times = LoadTimes(cache, threads=1)
    before = times.expect(activation)

    def fail() -> None:
        with times.timing(activation):
            time.sleep(0.2)
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail()
    assert times.expect(activation) == before
