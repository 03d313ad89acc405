from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from exported_towers import FAMILIES, ExportedPair, export_pair
from numpy.typing import NDArray

from rsq.manifest import TOWERS, Tower
from rsq.similarity import row_cosines
from rsq_server.build.calibration_rows import embed_tower
from rsq_server.build.external_data import open_model, save_model
from rsq_server.build.observe import Observer
from rsq_server.build.smoothing import smooth


@pytest.fixture(scope="module", params=FAMILIES)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ExportedPair:
    return export_pair(request.param, tmp_path_factory.mktemp(request.param))


def magnitudes_of(pair: ExportedPair, tower: Tower, folder: Path) -> dict[str, NDArray[np.float32]]:
    observer = Observer(folder, lambda: pair.batches(tower), threads=1)
    return {name: found.magnitudes for name, found in observer.ranges().items()}


@pytest.mark.parametrize("tower", TOWERS)
def test_smoothing_leaves_the_vectors_and_evens_the_channels(
    pair: ExportedPair, tmp_path: Path, tower: Tower
) -> None:
    before = magnitudes_of(pair, tower, pair.folders[tower])
    model = open_model(pair.folders[tower])
    factors = smooth(model, before, alpha=1.0)
    save_model(model, tmp_path / "smooth")
    rows = embed_tower(tmp_path / "smooth", tower, pair.inputs[tower])
    assert row_cosines(rows, pair.vectors[tower]).min() > 1 - 1e-5

    after = magnitudes_of(pair, tower, tmp_path / "smooth")
    # Norms before attention and MLP, and attention's output, of each block that one site reads.
    assert len(factors) >= 5
    for name, divided in factors.items():
        np.testing.assert_allclose(after[name], before[name] / divided, rtol=1e-3, atol=1e-4)
        # alpha 1 moves all differences into the weights.
        assert np.std(np.log(after[name] + 1e-6)) < 0.1
    for name in set(before) - set(factors):
        np.testing.assert_allclose(after[name], before[name], rtol=1e-3, atol=1e-4)


def test_an_alpha_between_leaves_a_part_of_each(pair: ExportedPair) -> None:
    before = magnitudes_of(pair, "vision", pair.folders["vision"])
    factors = {
        alpha: smooth(open_model(pair.folders["vision"]), before, alpha=alpha)
        for alpha in (0.25, 1.0)
    }
    for name, gentle in factors[0.25].items():
        np.testing.assert_allclose(np.log(gentle).mean(), 0, atol=1e-4)
        assert np.std(np.log(factors[1.0][name])) > 0
