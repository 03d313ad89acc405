from __future__ import annotations

import logging
import warnings
from pathlib import Path

import onnx
import pytest
import torch
from tiny_checkpoints import HIDDEN, SIGLIP_LENGTH, SIZE, write_clip, write_siglip

from rsq.digest import digest_file
from rsq.errors import InternalError
from rsq.manifest import TOWERS, Tower
from rsq_server.build.dual_encoder import DualEncoder
from rsq_server.build.export import check_export, export_tower
from rsq_server.build.load import load_encoder


@pytest.fixture(scope="module")
def siglip(tmp_path_factory: pytest.TempPathFactory) -> DualEncoder:
    return load_encoder(write_siglip(tmp_path_factory.mktemp("siglip")))


@pytest.fixture(scope="module")
def exported(siglip: DualEncoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of both SigLIP towers."""
    folder = tmp_path_factory.mktemp("exported")
    for tower in TOWERS:
        export_tower(siglip, tower, folder / tower)
    return folder


@pytest.mark.parametrize("tower", TOWERS)
def test_exporting_again_gives_the_same_bytes(
    siglip: DualEncoder, exported: Path, tmp_path: Path, tower: Tower
) -> None:
    export_tower(siglip, tower, tmp_path / "again")
    names = sorted(path.name for path in (exported / tower).iterdir())
    assert names == ["model.onnx", "model.onnx.data"]
    for name in names:
        assert digest_file(tmp_path / "again" / name) == digest_file(exported / tower / name)


@pytest.mark.parametrize("tower", TOWERS)
def test_graph_agrees_with_torch_alone_and_in_a_batch(
    siglip: DualEncoder, exported: Path, tower: Tower
) -> None:
    check_export(siglip, tower, exported / tower)


@pytest.mark.parametrize("tower", TOWERS)
def test_clip_towers_export_and_agree_with_torch(tmp_path: Path, tower: Tower) -> None:
    encoder = load_encoder(write_clip(tmp_path / "clip"))
    export_tower(encoder, tower, tmp_path / "out")
    check_export(encoder, tower, tmp_path / "out")


def test_graph_of_other_weights_is_refused(
    siglip: DualEncoder, exported: Path, tmp_path: Path
) -> None:
    other = load_encoder(write_siglip(tmp_path, seed=1))
    with pytest.raises(InternalError, match=r"text tower differs from torch: cosine [-0-9.]+ in"):
        check_export(other, "text", exported / "text")


@pytest.mark.parametrize("tower", TOWERS)
def test_graph_has_the_agreed_names_types_and_a_free_batch(exported: Path, tower: Tower) -> None:
    model = onnx.load(exported / tower / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    (entry,) = model.graph.input
    (result,) = model.graph.output
    shapes = [
        [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (entry, result)
    ]
    kinds = [value.type.tensor_type.elem_type for value in (entry, result)]
    if tower == "vision":
        assert entry.name == "pixel_values"
        assert shapes[0] == ["batch", 3, SIZE, SIZE]
        assert kinds == [onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT]
    else:
        assert entry.name == "input_ids"
        assert shapes[0] == ["batch", SIGLIP_LENGTH]
        assert kinds == [onnx.TensorProto.INT64, onnx.TensorProto.FLOAT]
    assert result.name == "embedding"
    assert shapes[1] == ["batch", HIDDEN]
    assert [opset.version for opset in model.opset_import if not opset.domain] == [23]


@pytest.mark.parametrize("tower", TOWERS)
def test_graph_carries_no_trace_of_how_it_was_made(exported: Path, tower: Tower) -> None:
    model = onnx.load(exported / tower / "model.onnx")
    assert (model.producer_name, model.producer_version, model.doc_string) == ("", "", "")
    assert not model.metadata_props
    for part in (*model.graph.node, *model.graph.input, *model.graph.output):
        assert not part.metadata_props
        assert not part.doc_string
    data = (exported / tower / "model.onnx").read_bytes()
    assert b".py" not in data
    assert b"pkg.torch" not in data


@pytest.mark.parametrize("tower", TOWERS)
def test_large_weights_are_named_as_in_the_checkpoint(exported: Path, tower: Tower) -> None:
    model = onnx.load(exported / tower / "model.onnx")
    matrices = {t.name for t in model.graph.initializer if len(t.dims) > 1}
    assert "encoder.layers.1.mlp.fc2.weight" in matrices
    assert [name for name in matrices if name.startswith("val_")] == []


def test_siglip_text_computes_its_last_layer_for_one_position(exported: Path) -> None:
    graph = onnx.shape_inference.infer_shapes(onnx.load(exported / "text" / "model.onnx")).graph
    ranks = {v.name: len(v.type.tensor_type.shape.dim) for v in graph.value_info}
    gelus = [ranks[node.output[0]] for node in graph.node if node.op_type == "Gelu"]
    assert gelus == [3, 2]


def test_exporting_prints_and_warns_nothing(
    siglip: DualEncoder, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    level = logging.getLogger("torch.onnx").level
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        export_tower(siglip, "text", tmp_path / "out")
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger("torch.onnx").level == level


def test_real_checkpoint_exports_in_full_precision(rsq_data: Path, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    encoder = load_encoder(rsq_data / "models" / "rsq-siglip-small")
    for tower in TOWERS:
        export_tower(encoder, tower, tmp_path / tower)
        check_export(encoder, tower, tmp_path / tower)
