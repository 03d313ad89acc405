from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tiny_artifacts import build_artifact

from rsq.encoder import Encoder
from rsq.similarity import normalise
from rsq_server.build.invariance import (
    BATCHES,
    measure_batch_cosine,
    measure_padding_cosine,
    spread_out,
)

TEXTS = ("red port", "blue river of forest", "cargo ships with a large port of red")


@pytest.fixture
def encoder(tmp_path: Path) -> Encoder:
    built = build_artifact(tmp_path / "text", "text")
    return Encoder(built.folder, built.manifest)


class _Recording(Encoder):
    """Remembers its batches."""

    batches: list[int]

    def embed_prepared(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        self.batches = [*getattr(self, "batches", []), len(inputs)]
        return super().embed_prepared(inputs)


class _ScaledByBatch:
    """A session as stock dynamic INT8 is: it rounds to a hundred steps of the batch's largest."""

    def embed(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        rows = inputs.astype(np.float32)
        step = np.abs(rows).max() / 100
        return normalise((rows / step).round() * step)


def _inputs(count: int) -> NDArray[np.float32]:
    random = np.random.default_rng(0)
    loudness = np.exp(random.uniform(0, 3, (count, 1)))
    return np.asarray(random.standard_normal((count, 12)) * loudness, np.float32)


def test_an_ordinary_artifact_never_depends_on_its_batch(encoder: Encoder) -> None:
    inputs = encoder.prepare_texts(TEXTS * 4)
    assert measure_batch_cosine(encoder, inputs, workers=2) > 0.9999999
    assert measure_padding_cosine(encoder, TEXTS) > 0.9999999


def test_every_input_runs_alone_and_in_full_batches_of_each_size(tmp_path: Path) -> None:
    built = build_artifact(tmp_path / "text", "text")
    recording = _Recording(built.folder, built.manifest)
    measure_batch_cosine(recording, recording.prepare_texts(TEXTS * 4), workers=1)
    assert BATCHES == (2, 5, 16)
    assert recording.batches == [1] * 12 + [2] * 6 + [5] * 3 + [16]


def test_a_scale_over_the_batch_is_found_unless_served_one_by_one(encoder: Encoder) -> None:
    encoder._session = _ScaledByBatch()  # type: ignore[assignment]
    inputs = _inputs(16)
    cosine = measure_batch_cosine(encoder, inputs, workers=2)
    assert cosine < 0.999
    assert cosine == measure_batch_cosine(encoder, inputs, workers=1)
    encoder.manifest = dataclasses.replace(encoder.manifest, batch_invariant=False)
    assert measure_batch_cosine(encoder, inputs, workers=2) > 0.9999999


def test_padding_to_the_longest_of_the_batch_is_found(encoder: Encoder) -> None:
    fixed = encoder.prepare_texts

    def pad_to_longest(texts: Sequence[str]) -> NDArray[np.int64]:
        rows = fixed(texts)
        longest = max(len(text) for text in texts)
        return np.where(rows == 1, longest, rows)

    encoder.prepare_texts = pad_to_longest  # type: ignore[method-assign]
    assert measure_padding_cosine(encoder, TEXTS) < 0.99


@given(st.integers(1, 3000), st.integers(1, 40))
def test_spread_out_indices_are_different_and_reach_both_ends(count: int, limit: int) -> None:
    found = spread_out(count, limit).tolist()
    assert len(set(found)) == len(found) == min(count, limit)
    assert found == sorted(found)
    assert found[0] == 0
    assert 0 <= found[-1] < count
    assert limit == 1 or found[-1] == count - 1
