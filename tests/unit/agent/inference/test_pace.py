"""rsq_agent.inference.pace: which split of the cores wins, and what its trial says of itself."""

from __future__ import annotations

import threading
import time
import weakref
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tiny_artifacts import TinyArtifact, build_artifact

from rsq.encoder import Encoder
from rsq.errors import InternalError
from rsq_agent.inference.contention import Contention
from rsq_agent.inference.pace import LEAST_RUNS, WARM_UP_RUNS, find_pace, splits

INPUTS = np.zeros((8, 8), np.int64)


class TimedEncoder(Encoder):
    """Sleeps instead of computing: `alone` seconds for each run, and all of a run's items at once.
    Only `slots` runs go on at the same time."""

    def __init__(self, artifact: TinyArtifact, alone: float, slots: int) -> None:
        super().__init__(artifact.folder, artifact.manifest)
        self._alone = alone
        self._slots = threading.Semaphore(slots)

    def embed_prepared(self, inputs: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        with self._slots:
            time.sleep(self._alone)
        return np.zeros((len(inputs), 16), np.float32)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> TinyArtifact:
    return build_artifact(tmp_path_factory.mktemp("text"), "text")


@pytest.mark.parametrize(
    ("cores", "max_batch", "expected"),
    [
        (1, 8, [1]),
        (2, 8, [1, 2]),
        (6, 8, [1, 2, 4, 6]),
        (16, 8, [1, 2, 4, 8]),
        (2, 1, [1]),  # memory was measured with one item at a time
    ],
)
def test_splits_use_the_cores_within_the_batch_that_was_measured(
    cores: int, max_batch: int, expected: list[int]
) -> None:
    assert splits(cores, max_batch) == expected


def test_more_workers_win_where_they_do_not_hinder_each_other(artifact: TinyArtifact) -> None:
    pools: list[int] = []

    def open_encoder(threads: int) -> Encoder:
        pools.append(threads)
        return TimedEncoder(artifact, alone=0.03, slots=4)

    _, pace = find_pace(open_encoder, INPUTS[:4], cores=4, trial_seconds=0.3)
    assert pools[:3] == [4, 3, 1]  # the pool has the cores that the workers leave
    assert (pace.workers, pace.threads, pace.batch) == (4, 1, 1)


def test_one_worker_stays_and_takes_batches_where_the_device_runs_one_at_a_time(
    artifact: TinyArtifact,
) -> None:
    encoder, pace = find_pace(
        lambda threads: TimedEncoder(artifact, alone=0.03, slots=1),
        INPUTS,
        cores=2,
        trial_seconds=0.3,
    )
    assert (pace.workers, pace.batch) == (1, 8)
    assert sorted(pace.batch_seconds) == [1, 4, 8]
    # Here eight at once take as long as one does.
    assert pace.batch_seconds[8] < 2 * pace.batch_seconds[1]
    assert isinstance(encoder, TimedEncoder)


def test_an_artifact_whose_batches_matter_gets_single_items(artifact: TinyArtifact) -> None:
    def open_encoder(threads: int) -> Encoder:
        encoder = TimedEncoder(artifact, alone=0.01, slots=1)
        encoder.manifest = replace(encoder.manifest, batch_invariant=False)
        return encoder

    assert find_pace(open_encoder, INPUTS, cores=2, trial_seconds=0.1)[1].batch == 1


@pytest.mark.parametrize("preferred", [1, 2, 4])
def test_of_equally_fast_splits_the_preferred_one_is_taken(
    artifact: TinyArtifact, preferred: int
) -> None:
    _, pace = find_pace(
        lambda threads: TimedEncoder(artifact, alone=0.03, slots=1),
        INPUTS,
        cores=4,
        preferred_workers=preferred,
        trial_seconds=0.3,
    )
    assert pace.workers == preferred


def test_a_slow_tower_gets_enough_runs_to_be_told_apart(artifact: TinyArtifact) -> None:
    runs = 0

    class Counted(TimedEncoder):
        def embed_prepared(self, inputs: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
            nonlocal runs
            runs += 1
            return super().embed_prepared(inputs)

    # The whole trial would be over before the second run of one half.
    find_pace(
        lambda threads: Counted(artifact, alone=0.05, slots=1),
        INPUTS[:1],
        cores=1,
        trial_seconds=0.02,
    )
    assert runs == WARM_UP_RUNS + 2 * LEAST_RUNS


def test_a_device_that_fails_says_so(artifact: TinyArtifact) -> None:
    class Broken(TimedEncoder):
        def embed_prepared(self, inputs: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
            raise InternalError("the device fell over")

    with pytest.raises(InternalError, match="fell over"):
        find_pace(lambda threads: Broken(artifact, 0, 1), INPUTS, cores=2, trial_seconds=0.1)


def test_the_weights_are_in_memory_once_while_splits_are_tried(artifact: TinyArtifact) -> None:
    loaded: weakref.WeakSet[Encoder] = weakref.WeakSet()
    most = 0

    def open_encoder(threads: int) -> Encoder:
        nonlocal most
        encoder = TimedEncoder(artifact, alone=0.01, slots=1)
        loaded.add(encoder)
        most = max(most, len(loaded))
        return encoder

    encoder, _ = find_pace(open_encoder, INPUTS, cores=2, trial_seconds=0.05)
    assert (most, list(loaded)) == (1, [encoder])


@pytest.mark.parametrize(("waited", "busy"), [(0.5, True), (0.05, False)])
def test_a_pace_found_while_something_else_had_the_cores_says_so(
    artifact: TinyArtifact, monkeypatch: pytest.MonkeyPatch, waited: float, busy: bool
) -> None:
    monkeypatch.setattr(Contention, "share", lambda self: waited)
    encoder = TimedEncoder(artifact, alone=0.01, slots=1)
    _, pace = find_pace(lambda threads: encoder, INPUTS, cores=1, trial_seconds=0.05)
    assert pace.was_busy is busy
    assert 0.05 < pace.trial_seconds < 20
