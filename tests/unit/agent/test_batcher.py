from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_artifacts import TinyArtifact, build_artifact

from rsq.encoder import Encoder
from rsq.errors import DeadlineExceeded, Exhausted, InternalError, Interrupted
from rsq_agent.batcher import Batcher


class Gate:
    """Lets a test hold the encoder inside a batch and see the batches it is given."""

    def __init__(self, encoder: Encoder) -> None:
        self.open = threading.Event()
        self.entered = threading.Event()
        self.sizes: list[int] = []
        self._run = encoder.embed_prepared

    def __call__(self, inputs: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        self.sizes.append(len(inputs))
        self.entered.set()
        assert self.open.wait(20)
        return self._run(inputs)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> TinyArtifact:
    return build_artifact(tmp_path_factory.mktemp("text"), "text")


@pytest.fixture
def encoder(artifact: TinyArtifact) -> Encoder:
    return Encoder(artifact.folder, artifact.manifest)


@pytest.fixture
def gate(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> Gate:
    gate = Gate(encoder)
    monkeypatch.setattr(encoder, "embed_prepared", gate)
    return gate


@pytest.fixture
def batcher(encoder: Encoder) -> Iterator[Batcher]:
    batcher = Batcher(encoder, max_batch=4, queue_items=6)
    yield batcher
    batcher.close()


def _inputs(count: int) -> np.ndarray[Any, Any]:
    return np.arange(count * 8, dtype=np.int64).reshape(count, 8) % 11


def test_what_waits_runs_together_up_to_the_largest_batch(gate: Gate, batcher: Batcher) -> None:
    with ThreadPoolExecutor(7) as pool:
        first = pool.submit(batcher.embed, _inputs(1))
        assert gate.entered.wait(20)
        rest = [pool.submit(batcher.embed, _inputs(6)[i : i + 1]) for i in range(6)]
        while len(batcher._rows) < 6:
            pass
        gate.open.set()
        rows = np.concatenate([future.result().rows for future in rest])
    assert gate.sizes == [1, 4, 2]
    assert first.result().rows.shape == (1, 16)
    assert rows == pytest.approx(batcher.encoder.embed_prepared(_inputs(6)), abs=1e-6)


def test_a_request_longer_than_a_batch_comes_back_whole_and_in_order(batcher: Batcher) -> None:
    result = batcher.embed(_inputs(6))
    assert result.rows == pytest.approx(batcher.encoder.embed_prepared(_inputs(6)), abs=1e-6)
    assert result.queue_ms >= 0
    assert result.inference_ms > 0


def test_a_full_queue_refuses_at_once(gate: Gate, batcher: Batcher) -> None:
    with ThreadPoolExecutor(2) as pool:
        held = pool.submit(batcher.embed, _inputs(1))
        assert gate.entered.wait(20)
        waiting = pool.submit(batcher.embed, _inputs(6))
        while len(batcher._rows) < 6:
            pass
        with pytest.raises(Exhausted, match="try again"):
            batcher.embed(_inputs(1))
        gate.open.set()
        assert held.result().rows.shape == (1, 16)
        assert waiting.result().rows.shape == (6, 16)


def test_expired_and_abandoned_requests_never_reach_the_device(
    gate: Gate, batcher: Batcher
) -> None:
    with ThreadPoolExecutor(2) as pool:
        held = pool.submit(batcher.embed, _inputs(1))
        assert gate.entered.wait(20)
        gone = pool.submit(batcher.embed, _inputs(2), is_wanted=lambda: False)
        with pytest.raises(DeadlineExceeded):
            batcher.embed(_inputs(2), timeout_seconds=0.05)
        gate.open.set()
        held.result()
        with pytest.raises(Interrupted):
            gone.result()
    assert gate.sizes == [1]


def test_a_failing_batch_fails_its_callers_and_the_next_one_works(
    encoder: Encoder, batcher: Batcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(inputs: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        raise InternalError("the device fell over")

    with monkeypatch.context() as patch:
        patch.setattr(encoder, "embed_prepared", fail)
        with pytest.raises(InternalError, match="fell over"):
            batcher.embed(_inputs(3))
    assert batcher.embed(_inputs(3)).rows.shape == (3, 16)


def test_closing_finishes_what_waits_and_refuses_what_comes(artifact: TinyArtifact) -> None:
    batcher = Batcher(Encoder(artifact.folder, artifact.manifest), max_batch=2, queue_items=9)
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(batcher.embed, _inputs(9))
        future.result()
    batcher.close()
    with pytest.raises(Interrupted):
        batcher.embed(_inputs(1))


def test_folder_is_not_needed_after_loading(tmp_path: Path) -> None:
    artifact = build_artifact(tmp_path / "a", "text")
    batcher = Batcher(Encoder(artifact.folder, artifact.manifest), max_batch=2, queue_items=9)
    (artifact.folder / "model.onnx").unlink()
    assert batcher.embed(_inputs(1)).rows.shape == (1, 16)
    batcher.close()
