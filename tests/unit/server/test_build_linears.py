from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from exported_towers import FAMILIES, ExportedPair, export_pair

from rsq.manifest import Tower
from rsq.similarity import row_cosines
from rsq_server.build.calibration_rows import embed_tower
from rsq_server.build.external_data import open_model, save_model
from rsq_server.build.linears import (
    Site,
    block_of,
    find_lookups,
    find_sites,
    fold_constant_linears,
    read_array,
)


@pytest.fixture(scope="module", params=FAMILIES)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ExportedPair:
    return export_pair(request.param, tmp_path_factory.mktemp(request.param))


def sites_of(pair: ExportedPair, tower: Tower) -> list[Site]:
    return find_sites(open_model(pair.folders[tower]).graph)


@pytest.mark.parametrize("tower", ["vision", "text"])
def test_each_block_has_its_attention_and_its_mlp(pair: ExportedPair, tower: Tower) -> None:
    for block in ("block 0", "block 1"):
        sites = [site for site in sites_of(pair, tower) if site.block == block]
        found = {(site.part, site.source) for site in sites}
        assert {
            ("attention", "norm"),
            ("attention", "attention"),
            ("ffn", "norm"),
            ("ffn", "activation"),
        } == found
        names = {linear.name.split(".")[-2] for site in sites for linear in site.linears}
        assert names == {"q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"}


def test_query_key_and_value_share_a_site(pair: ExportedPair) -> None:
    first = sites_of(pair, "vision")[0]
    assert [linear.name.split(".")[-2] for linear in first.linears] == [
        "q_proj",
        "k_proj",
        "v_proj",
    ]
    assert all(linear.bias is not None for linear in first.linears)
    assert first.width == len(first.linears[0].matrix())


def test_what_follows_the_last_block_is_the_head(pair: ExportedPair) -> None:
    last = sites_of(pair, "vision")[-1]
    assert (last.block, last.part) == ("head", "head")


def test_only_text_towers_look_up_rows_by_their_input(pair: ExportedPair) -> None:
    counts = {
        tower: len(find_lookups(open_model(folder).graph)) for tower, folder in pair.folders.items()
    }
    assert counts == {"vision": 0, "text": 1}


def test_folding_constants_leaves_the_vectors_as_they_are(
    pair: ExportedPair, tmp_path: Path
) -> None:
    model = open_model(pair.folders["vision"])
    fold_constant_linears(model.graph)
    save_model(model, tmp_path / "folded")
    rows = embed_tower(tmp_path / "folded", "vision", pair.inputs["vision"])
    assert row_cosines(rows, pair.vectors["vision"]).min() > 1 - 1e-6


def test_a_layer_of_a_constant_becomes_its_result_and_its_weights_go() -> None:
    model = ir.from_onnx_text(
        """<ir_version: 10, opset_import: ["" : 23]>
        tower (float[n, 3] x) => (float[n, 3] embedding)
        <float[1, 2] probe = {1, 2}, float[2, 3] w = {1, 0, 2, 0, 1, 3}, float[3] bias = {5, 6, 7}>
        { product = MatMul (probe, w)  query = Add (product, bias)  embedding = Add (x, query) }"""
    )
    fold_constant_linears(model.graph)
    assert [node.op_type for node in model.graph] == ["Add"]
    (folded,) = model.graph.initializers.values()
    np.testing.assert_array_equal(read_array(folded), [[6, 8, 15]])


@pytest.mark.parametrize(
    ("name", "block"),
    [
        ("encoder.layers.11.mlp.fc1.weight", "block 11"),
        ("model.encoder.layers.0.self_attn.q_proj.weight", "block 0"),
        ("head.mlp.fc1.weight", "head"),
        ("projection.weight", "head"),
        ("embeddings.patch_embedding.weight.linear", "patches"),
    ],
)
def test_blocks_are_read_from_names(name: str, block: str) -> None:
    assert block_of(name) == block


def test_matrices_are_inputs_by_outputs_whichever_way_they_are_stored(pair: ExportedPair) -> None:
    for site in sites_of(pair, "text"):
        for linear in site.linears:
            assert linear.matrix().shape[0] == site.width
            assert np.isfinite(linear.matrix()).all()
