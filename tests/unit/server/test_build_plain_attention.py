from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
from exported_towers import FAMILIES, export_pair
from numpy.typing import NDArray

from rsq.errors import GateRefused
from rsq.manifest import TOWERS
from rsq_server.build.calibration_rows import embed_tower
from rsq_server.build.external_data import open_model, save_model
from rsq_server.build.plain_attention import write_out_attention

ITEMS, HEADS, ROWS, COLUMNS, WIDTH = 2, 3, 5, 7, 4
DEFAULTS = "is_causal = 0, softcap = 0.0, qk_matmul_output_mode = 0"
MASKS = {
    "none": "",
    "truth": "bool[r, k] m",
    "added": "float[r, k] m",
    "each": "bool[n, 1, r, k] m",
}


def make_model(
    attributes: str = DEFAULTS, *, mask: str = "", heads: int = HEADS, call: str = "q, k, v"
) -> ir.Model:
    """An Attention of `call` between values whose types the file does not tell, as exports have."""
    given = f", {mask}" if mask else ""
    call += ", m" if mask else ""
    return ir.from_onnx_text(
        f"""<ir_version: 10, opset_import: ["" : 23]>
        tower (float[n, {HEADS}, r, {WIDTH}] a, float[n, {heads}, k, {WIDTH}] b,
               float[n, {heads}, k, {WIDTH}] v{given}) => (float[n, h, r, w] embedding)
        {{ q = Neg (a)  k = Identity (b)  embedding = Attention <{attributes}> ({call}) }}"""
    )


def run(model: ir.Model, feeds: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
    session = ort.InferenceSession(
        ir.to_proto(model).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(None, feeds)[0], np.float32)


def make_feeds(mask: str) -> dict[str, NDArray[Any]]:
    random = np.random.default_rng(1)
    shapes = {"a": ROWS, "b": COLUMNS, "v": COLUMNS}
    feeds: dict[str, NDArray[Any]] = {
        name: random.normal(0, 2, (ITEMS, HEADS, rows, WIDTH)).astype(np.float32)
        for name, rows in shapes.items()
    }
    shape = (ITEMS, 1, ROWS, COLUMNS) if mask == "each" else (ROWS, COLUMNS)
    if mask == "added":
        feeds["m"] = random.normal(0, 1, shape).astype(np.float32)
    elif mask != "none":
        allowed = random.random(shape) < 0.5
        allowed[..., 0] = True
        feeds["m"] = allowed
    return feeds


@pytest.mark.parametrize("scale", ["", ", scale = 0.3", ", scale = 2.0"])
@pytest.mark.parametrize("mask", MASKS)
def test_the_products_are_the_operator(scale: str, mask: str) -> None:
    feeds = make_feeds(mask)
    expected = run(make_model(DEFAULTS + scale, mask=MASKS[mask]), feeds)
    model = make_model(DEFAULTS + scale, mask=MASKS[mask])
    write_out_attention(model)
    assert "Attention" not in {node.op_type for node in model.graph}
    np.testing.assert_allclose(run(model, feeds), expected, atol=2e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_exported_towers_give_the_same_vectors(family: str, tmp_path: Path) -> None:
    pair = export_pair(family, tmp_path)
    for tower in TOWERS:
        model = open_model(pair.folders[tower])
        assert "Attention" in {node.op_type for node in model.graph}
        write_out_attention(model)
        assert "Attention" not in {node.op_type for node in model.graph}
        save_model(model, tmp_path / tower)
        rows = embed_tower(tmp_path / tower, tower, pair.inputs[tower])
        np.testing.assert_allclose(rows, pair.vectors[tower], atol=2e-6)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (make_model("is_causal = 1"), "is_causal"),
        (make_model("softcap = 30.0"), "softcap"),
        (make_model("qk_matmul_output_mode = 1"), "qk_matmul_output_mode"),
        (make_model("q_num_heads = 3"), "q_num_heads"),
        (make_model("softmax_precision = 1"), "softmax_precision"),
        (make_model(heads=1), "as many heads"),
        (make_model(mask="float16[r, k] m"), "mask"),
        (make_model(call='q, k, v, "", b, v'), "past keys"),
    ],
)
def test_options_that_no_export_has_are_refused(model: ir.Model, said: str) -> None:
    with pytest.raises(GateRefused, match=said):
        write_out_attention(model)


def test_a_graph_without_the_operator_stays_as_it_is() -> None:
    model = ir.from_onnx_text(
        """<ir_version: 10, opset_import: ["" : 23]>
        tower (float[n, 4] x) => (float[n, 4] embedding) { embedding = Relu (x) }"""
    )
    before = ir.to_proto(model).SerializeToString()
    write_out_attention(model)
    assert ir.to_proto(model).SerializeToString() == before
