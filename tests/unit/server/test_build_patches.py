from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from exported_towers import FAMILIES, ExportedPair, export_pair
from tiny_checkpoints import SIZE

from rsq_server.build.calibration_rows import embed_tower
from rsq_server.build.external_data import open_model, save_model
from rsq_server.build.linears import find_sites
from rsq_server.build.patches import linearize_patches


@pytest.fixture(scope="module", params=FAMILIES)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ExportedPair:
    return export_pair(request.param, tmp_path_factory.mktemp(request.param))


def test_patches_times_a_matrix_is_the_convolution(pair: ExportedPair, tmp_path: Path) -> None:
    model = open_model(pair.folders["vision"])
    assert linearize_patches(model.graph, height=SIZE, width=SIZE)
    save_model(model, tmp_path / "linear")
    rows = embed_tower(tmp_path / "linear", "vision", pair.inputs["vision"])
    np.testing.assert_allclose(rows, pair.vectors["vision"], atol=2e-6)
    graph = open_model(tmp_path / "linear").graph
    assert "Conv" not in {node.op_type for node in graph}
    first = find_sites(graph)[0]
    assert (first.block, first.part) == ("patches", "convolution")


def test_a_tower_without_a_convolution_says_so(pair: ExportedPair) -> None:
    assert not linearize_patches(open_model(pair.folders["text"]).graph, height=SIZE, width=SIZE)


@pytest.mark.parametrize(
    "attributes",
    [
        "strides = [2, 2]",
        "strides = [4, 4], pads = [1, 1, 1, 1]",
        "strides = [4, 4], dilations = [2, 2]",
        'strides = [4, 4], auto_pad = "SAME_UPPER"',
    ],
)
def test_patches_that_overlap_or_are_padded_stay_a_convolution(attributes: str) -> None:
    weights = ", ".join("1" for _ in range(2 * 3 * 4 * 4))
    model = ir.from_onnx_text(
        f"""<ir_version: 10, opset_import: ["" : 23]>
        tower (float[n, 3, 8, 8] x) => (float[n, 2, h, w] embedding)
        <float[2, 3, 4, 4] weight = {{{weights}}}>
        {{ embedding = Conv <{attributes}> (x, weight) }}"""
    )
    assert not linearize_patches(model.graph, height=8, width=8)
