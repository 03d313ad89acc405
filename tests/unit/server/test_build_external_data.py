from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rsq.chunks import describe_file
from rsq_server.build.external_data import GRAPH_NAME, WEIGHTS_NAME, open_model, save_model
from rsq_server.build.linears import add_twin

KIB = 1 << 10


def make_model(arrays: dict[str, NDArray[np.float32]], *, backwards: bool = False) -> ir.Model:
    """A graph that reads every array in the order given, with the traces that an exporter leaves.
    `backwards` lists the initializers, not the uses, the other way round."""
    values = []
    for name, array in arrays.items():
        tensor = ir.Tensor(array, name=name)
        values.append(ir.val(name, dtype=tensor.dtype, shape=tensor.shape, const_value=tensor))
    node = ir.node("Concat", values, {"axis": 0}, metadata_props={"trace": "file.py:3"})
    node.outputs[0].name = "embedding"
    node.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
    node.outputs[0].shape = ir.Shape(["n"])
    listed = values[::-1] if backwards else values
    graph = ir.Graph(
        [], node.outputs, nodes=[node], initializers=listed, opset_imports={"": 23}, name="g"
    )
    return ir.Model(graph, ir_version=10, producer_name="exporter", producer_version="1.2+cpu")


def make_arrays(sizes: list[int], seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Arrays of `sizes` numbers, of 4 bytes each."""
    random = np.random.default_rng(seed)
    return {f"t{i}": random.random(size, np.float32) for i, size in enumerate(sizes)}


def read_places(folder: Path) -> dict[str, tuple[int, int]]:
    """Offset and length in bytes of each tensor in the weights file, as the file says."""
    model = onnx.load(folder / GRAPH_NAME, load_external_data=False)
    places = {}
    for tensor in model.graph.initializer:
        facts = {entry.key: entry.value for entry in tensor.external_data}
        if facts:
            assert facts["location"] == WEIGHTS_NAME
            places[tensor.name] = (int(facts["offset"]), int(facts["length"]))
    return places


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 60_000), min_size=1, max_size=8))
def test_tensors_come_back_and_lie_where_the_layout_says(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("model") / "out"
    arrays = make_arrays(sizes)
    save_model(make_model(arrays), folder)
    loaded = onnx.load(folder / GRAPH_NAME)
    for tensor in loaded.graph.initializer:
        np.testing.assert_array_equal(onnx.numpy_helper.to_array(tensor), arrays[tensor.name])
    places = read_places(folder)
    assert set(places) == {name for name, array in arrays.items() if array.nbytes >= KIB}
    end = 0
    for offset, length in sorted(places.values()):
        alignment = 64 * KIB if length >= 64 * KIB else 64
        assert offset % alignment == 0
        assert end <= offset < end + alignment
        end = offset + length
    if places:
        assert (folder / WEIGHTS_NAME).stat().st_size == end


def test_unchanged_tensors_keep_their_offsets_and_chunks(tmp_path: Path) -> None:
    sizes = [300_000, 400_000, 1000, 700_000]
    arrays = make_arrays(sizes)
    save_model(make_model(arrays), tmp_path / "old")
    changed = {**arrays, "t1": arrays["t1"] + 1}
    save_model(make_model(changed), tmp_path / "new")
    assert read_places(tmp_path / "old") == read_places(tmp_path / "new")
    old, new = (
        describe_file(tmp_path / side / WEIGHTS_NAME, role="weights", name="w", chunk_bytes=65536)
        for side in ("old", "new")
    )
    offset, length = read_places(tmp_path / "old")["t1"]
    touched = range(offset // 65536, -(-(offset + length) // 65536))
    differ = [
        i for i, pair in enumerate(zip(old.chunks, new.chunks, strict=True)) if len({*pair}) > 1
    ]
    assert differ == list(touched)


def test_order_of_initializers_does_not_change_the_weights_file(tmp_path: Path) -> None:
    arrays = make_arrays([20_000, 30_000, 500])
    save_model(make_model(arrays), tmp_path / "a")
    save_model(make_model(arrays, backwards=True), tmp_path / "b")
    assert (tmp_path / "a" / WEIGHTS_NAME).read_bytes() == (
        tmp_path / "b" / WEIGHTS_NAME
    ).read_bytes()


def test_what_is_used_together_lies_together_whatever_its_name(tmp_path: Path) -> None:
    body, head = make_arrays([40_000, 40_000]), make_arrays([30_000, 30_000, 400], seed=1)
    renamed = dict(zip(("val_7", "a", "m"), head.values(), strict=True))
    save_model(make_model({**body, **renamed}), tmp_path / "out")
    places = read_places(tmp_path / "out")
    large = sorted((name for name in places if name != "m"), key=lambda name: places[name])
    assert large == ["t0", "t1", "val_7", "a"]
    assert places["m"] > places["a"]


def test_traces_of_the_exporter_are_removed(tmp_path: Path) -> None:
    save_model(make_model(make_arrays([10])), tmp_path / "out")
    data = (tmp_path / "out" / GRAPH_NAME).read_bytes()
    for trace in (b"exporter", b"1.2+cpu", b"file.py"):
        assert trace not in data
    assert not (tmp_path / "out" / WEIGHTS_NAME).exists()


def test_saved_model_can_be_saved_again_from_its_files(tmp_path: Path) -> None:
    model = make_model(make_arrays([40_000, 600]))
    save_model(model, tmp_path / "first")
    save_model(model, tmp_path / "second")
    save_model(open_model(tmp_path / "first"), tmp_path / "third")
    for name in (GRAPH_NAME, WEIGHTS_NAME):
        contents = {(tmp_path / side / name).read_bytes() for side in ("first", "second", "third")}
        assert len(contents) == 1


@pytest.mark.parametrize("size", [10, 1000, 100_000])
def test_a_tensor_that_two_initializers_hold_is_written_once(tmp_path: Path, size: int) -> None:
    model = make_model(make_arrays([size, 500]))
    first = model.graph.initializers["t0"]
    twin = add_twin(model.graph, first)
    model.graph.append(ir.node("Identity", [twin]))
    save_model(model, tmp_path / "out")
    save_model(open_model(tmp_path / "out"), tmp_path / "again")
    for folder in (tmp_path / "out", tmp_path / "again"):
        places = read_places(folder)
        assert places.get(str(twin.name)) == places.get("t0")
        loaded = {t.name: t for t in onnx.load(folder / GRAPH_NAME).graph.initializer}
        one, other = (onnx.numpy_helper.to_array(loaded[str(v.name)]) for v in (first, twin))
        np.testing.assert_array_equal(one, other)
        alone = max(offset + length for offset, length in places.values())
        assert (folder / WEIGHTS_NAME).stat().st_size == alone
