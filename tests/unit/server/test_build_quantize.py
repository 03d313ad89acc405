from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from tiny_checkpoints import write_clip, write_siglip

from rsq.encoder import CPU_PROVIDER, INPUT_NAMES, TowerSession
from rsq.errors import BadInput, GateRefused
from rsq.manifest import TOWERS, Tower
from rsq_server.build.dual_encoder import DualEncoder
from rsq_server.build.export import export_tower
from rsq_server.build.load import load_encoder
from rsq_server.build.quantize import VARIANTS, batch_invariant, build_variant

FAMILIES: dict[str, Callable[[Path], Path]] = {"siglip": write_siglip, "clip": write_clip}
CASES = [(family, tower) for family in FAMILIES for tower in TOWERS]
# Random weights of a tiny model lose more than a trained one's; each variant has its own floor.
MIN_COSINE = {"fp32": 0.999999, "fp16": 0.9999, "int8": 0.99}


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, DualEncoder]:
    return {
        family: load_encoder(write(tmp_path_factory.mktemp(family)))
        for family, write in FAMILIES.items()
    }


@pytest.fixture(scope="module")
def built(encoders: dict[str, DualEncoder], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """FAMILY/TOWER/VARIANT for all of them, the export in `export`."""
    root = tmp_path_factory.mktemp("built")
    for family, tower in CASES:
        folder = root / family / tower
        export_tower(encoders[family], tower, folder / "export")
        for variant in VARIANTS:
            build_variant(variant, folder / "export", folder / variant, tower)
    return root


def open_session(folder: Path, tower: Tower) -> TowerSession:
    return TowerSession(
        folder / "model.onnx", input_name=INPUT_NAMES[tower], provider=CPU_PROVIDER, threads=1
    )


def embed_alone(session: TowerSession, inputs: NDArray[Any]) -> NDArray[np.float32]:
    return np.concatenate([session.embed(row[None]) for row in inputs])


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("family", "tower"), CASES)
def test_variant_is_close_to_fp32_alone_and_in_any_batch(
    encoders: dict[str, DualEncoder], built: Path, family: str, tower: Tower, variant: str
) -> None:
    assert batch_invariant(variant)
    folder = built / family / tower
    inputs = encoders[family].sample_inputs(tower, 7)
    session = open_session(folder / variant, tower)
    alone = embed_alone(session, inputs)
    exact = embed_alone(open_session(folder / "export", tower), inputs)
    assert (alone * exact).sum(axis=1).min() >= MIN_COSINE[variant]
    for count in (2, 5, 7):
        together = session.embed(inputs[:count])
        assert (together * alone[:count]).sum(axis=1).min() >= 0.99999


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("tower", TOWERS)
def test_building_again_gives_the_same_bytes(
    built: Path, tmp_path: Path, tower: Tower, variant: str
) -> None:
    folder = built / "siglip" / tower
    build_variant(variant, folder / "export", tmp_path / "again", tower)
    names = sorted(path.name for path in (folder / variant).iterdir())
    assert names == sorted(path.name for path in (tmp_path / "again").iterdir())
    for name in names:
        assert (tmp_path / "again" / name).read_bytes() == (folder / variant / name).read_bytes()


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("family", "tower"), CASES)
def test_variant_is_standard_onnx_with_the_doors_of_fp32(
    built: Path, family: str, tower: Tower, variant: str
) -> None:
    folder = built / family / tower
    model, reference = (onnx.load(folder / side / "model.onnx") for side in (variant, "export"))
    onnx.checker.check_model(model, full_check=True)
    assert [opset.domain for opset in model.opset_import] == [""]
    assert list(model.graph.input) == list(reference.graph.input)
    assert list(model.graph.output) == list(reference.graph.output)


def test_fp32_is_the_export_itself(built: Path) -> None:
    folder = built / "siglip" / "vision"
    for file in (folder / "export").iterdir():
        assert (folder / "fp32" / file.name).read_bytes() == file.read_bytes()


@pytest.mark.parametrize("tower", TOWERS)
def test_fp16_holds_no_fp32_tensor(built: Path, tower: Tower) -> None:
    model = onnx.load(built / "siglip" / tower / "fp16" / "model.onnx")
    kinds = {tensor.data_type for tensor in model.graph.initializer}
    assert onnx.TensorProto.FLOAT16 in kinds
    assert onnx.TensorProto.FLOAT not in kinds


def test_fp16_refuses_a_weight_beyond_its_range(
    encoders: dict[str, DualEncoder], tmp_path: Path
) -> None:
    encoder = load_encoder(write_siglip(tmp_path / "loud"))
    encoder.weights["text_model.head.bias"][0] = 70000.0
    export_tower(encoder, "text", tmp_path / "export")
    with pytest.raises(GateRefused, match=r"weight head\.bias is beyond FP16's range, 65504"):
        build_variant("fp16", tmp_path / "export", tmp_path / "fp16", "text")


@pytest.mark.parametrize(("family", "tower"), CASES)
def test_int8_has_no_linear_layer_left_in_fp32(built: Path, family: str, tower: Tower) -> None:
    model = onnx.load(built / family / tower / "int8" / "model.onnx")
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        assert node.op_type != "Gemm"
        assert node.op_type != "MatMul" or not set(node.input) & set(constants)
    int8 = [t for t in constants.values() if t.data_type == onnx.TensorProto.INT8]
    assert any("mlp.fc1" in tensor.name for tensor in int8)
    assert any("token_embedding" in tensor.name for tensor in int8) == (tower == "text")


def test_manifest_names_the_providers_that_a_variant_is_for(built: Path, tmp_path: Path) -> None:
    folder = built / "siglip" / "text"
    specs = {
        variant: build_variant(variant, folder / "export", tmp_path / variant, "text")
        for variant in VARIANTS
    }
    assert specs["int8"].providers == ("CPUExecutionProvider",)
    assert "CUDAExecutionProvider" in specs["fp16"].providers
    assert "embeddings" in specs["int8"].parameters
    vision = built / "siglip" / "vision" / "export"
    spec = build_variant("int8", vision, tmp_path / "vision", "vision")
    assert "embeddings" not in spec.parameters


def test_unknown_variant_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"Unknown variant 'int4'; rsq builds fp32, fp16, int8"):
        build_variant("int4", tmp_path, tmp_path / "out", "vision")
    with pytest.raises(BadInput, match="int4"):
        batch_invariant("int4")


@pytest.mark.parametrize("tower", TOWERS)
def test_real_checkpoint_keeps_its_vectors_in_a_quarter_of_the_size(
    rsq_data: Path, tmp_path: Path, tower: Tower
) -> None:
    encoder = load_encoder(rsq_data / "models" / "rsq-siglip-small")
    export_tower(encoder, tower, tmp_path / "export")
    build_variant("int8", tmp_path / "export", tmp_path / "int8", tower)
    inputs = encoder.sample_inputs(tower, 5)
    session = open_session(tmp_path / "int8", tower)
    alone = embed_alone(session, inputs)
    exact = embed_alone(open_session(tmp_path / "export", tower), inputs)
    assert (alone * exact).sum(axis=1).min() >= 0.999
    assert (alone * session.embed(inputs)).sum(axis=1).min() >= 0.99999
    sizes = [
        sum(file.stat().st_size for file in (tmp_path / side).iterdir())
        for side in ("export", "int8")
    ]
    assert sizes[1] < 0.3 * sizes[0]
