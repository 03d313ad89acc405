from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from exported_towers import FAMILIES, ExportedPair, export_pair
from numpy.typing import NDArray

from rsq.manifest import TOWERS, Tower
from rsq_server.build.external_data import open_model, save_model
from rsq_server.build.last_layer import find_last_layer, fit_last_layer
from rsq_server.build.linears import replace_matrix
from rsq_server.build.projection import fit_projection

Case = tuple[NDArray[np.float32], NDArray[np.float32]]


@pytest.fixture
def case() -> Case:
    """Inputs [n, K] of a last layer and the outputs [n, N] that they should give."""
    random = np.random.default_rng(0)
    inputs = random.normal(size=(200, 12)).astype(np.float32)
    weight = random.normal(size=(12, 6)).astype(np.float32)
    return inputs, inputs @ weight


def test_a_layer_that_is_off_learns_what_it_misses(case: Case) -> None:
    inputs, expected = case
    random = np.random.default_rng(1)
    outputs = expected + 0.3 * (inputs @ random.normal(size=(12, 6)).astype(np.float32)) + 0.2
    fit = fit_last_layer("head", inputs, outputs, expected)
    assert fit.improves
    assert fit.before < 0.98
    assert fit.after > 0.9999
    np.testing.assert_allclose(outputs + inputs @ fit.matrix + fit.bias, expected, atol=0.02)


def test_white_noise_teaches_nothing(case: Case) -> None:
    inputs, expected = case
    noise = np.random.default_rng(2).normal(size=expected.shape).astype(np.float32)
    fit = fit_last_layer("head", inputs[:40], (expected + noise)[:40], expected[:40])
    assert fit.after >= fit.before
    if not fit.improves:
        assert not fit.matrix.any()
        assert not fit.bias.any()


def test_outputs_that_are_right_stay_as_they_are(case: Case) -> None:
    inputs, expected = case
    fit = fit_last_layer("head", inputs, expected, expected)
    assert not fit.improves
    assert not fit.matrix.any()


@pytest.fixture(scope="module", params=FAMILIES)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ExportedPair:
    return export_pair(request.param, tmp_path_factory.mktemp(request.param))


@pytest.mark.parametrize("tower", TOWERS)
def test_the_last_layer_of_a_tower_is_found_and_repaired(
    pair: ExportedPair, tmp_path: Path, tower: Tower
) -> None:
    model = open_model(pair.folders[tower])
    last = find_last_layer(model.graph)
    if last is None:  # CLIP's projections have no bias to learn
        assert "siglip" not in str(pair.folders[tower])
        return
    random = np.random.default_rng(0)
    matrix = last.matrix()
    disturbed = matrix + 0.2 * matrix.std() * random.normal(size=matrix.shape)
    replace_matrix(model.graph, last, disturbed.astype(np.float32))
    save_model(model, tmp_path / "disturbed")
    fit = fit_projection(
        tmp_path / "disturbed", pair.folders[tower], last.name, lambda: pair.batches(tower)
    )
    assert fit.improves
    assert fit.layer == last.name
    assert sorted(p.name for p in (tmp_path / "disturbed").iterdir()) == [
        "model.onnx",
        "model.onnx.data",
    ]
