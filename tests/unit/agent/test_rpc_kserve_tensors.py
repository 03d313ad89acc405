"""rsq_agent.rpc.kserve_tensors: what a request claims is checked before it is believed."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsq.errors import BadInput
from rsq.kserve import inference_pb2 as pb
from rsq_agent.inference.embedding import MAX_ITEMS
from rsq_agent.rpc.kserve_tensors import (
    TensorSpec,
    decode_bytes,
    files_from_pb,
    pixels_from_pb,
    quote,
    require_outputs,
    rows_to_pb,
    texts_from_pb,
)

TEXT = TensorSpec("text", "BYTES")
PIXELS = TensorSpec("pixel_values", "FP32", (3, 2, 2))
OUTPUT = TensorSpec("embedding", "FP32", (4,))


def _encode(elements: list[bytes]) -> bytes:
    return b"".join(struct.pack("<I", len(element)) + element for element in elements)


def _request(
    spec: TensorSpec, *shape: int, raw: bytes | None = None, **contents: object
) -> pb.ModelInferRequest:
    request = pb.ModelInferRequest()
    tensor = request.inputs.add(name=spec.name, datatype=spec.datatype, shape=shape)
    if contents:
        tensor.contents.CopyFrom(pb.InferTensorContents(**contents))  # type: ignore[arg-type]
    if raw is not None:
        request.raw_input_contents.append(raw)
    return request


@given(st.lists(st.binary(max_size=40), max_size=12))
def test_raw_elements_come_back_as_they_were(elements: list[bytes]) -> None:
    assert decode_bytes(_encode(elements), len(elements)) == elements


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=6), st.data())
def test_contents_cut_off_anywhere_are_refused(elements: list[bytes], data: st.DataObject) -> None:
    whole = _encode(elements)
    end = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(BadInput):
        decode_bytes(whole[:end], len(elements))


@given(st.binary(max_size=60), st.integers(0, 8))
def test_any_bytes_are_decoded_whole_or_refused(contents: bytes, count: int) -> None:
    try:
        elements = decode_bytes(contents, count)
    except BadInput:
        return
    assert _encode(elements) == contents
    assert len(elements) == count


def test_another_count_than_there_are_elements_is_refused() -> None:
    contents = _encode([b"a", b"b"])
    with pytest.raises(BadInput, match="5 bytes follow the last of 1"):
        decode_bytes(contents, 1)
    with pytest.raises(BadInput, match="end before element 2 of 3"):
        decode_bytes(contents, 3)


def test_texts_come_from_typed_and_from_raw_contents() -> None:
    items = ["port", "größe", ""]
    encoded = [item.encode() for item in items]
    assert texts_from_pb(_request(TEXT, 3, bytes_contents=encoded), TEXT) == items
    assert texts_from_pb(_request(TEXT, 3, raw=_encode(encoded)), TEXT) == items
    with pytest.raises(BadInput, match="item 1: The text is not UTF-8") as caught:
        texts_from_pb(_request(TEXT, 2, bytes_contents=[b"port", b"\xff"]), TEXT)
    assert caught.value.metadata["index"] == "1"


def test_pixels_come_from_typed_and_from_raw_contents() -> None:
    values = np.random.default_rng(1).standard_normal((2, 3, 2, 2)).astype("<f4")
    typed = _request(PIXELS, 2, 3, 2, 2, fp32_contents=values.ravel().tolist())
    raw = _request(PIXELS, 2, 3, 2, 2, raw=values.tobytes())
    for request in (typed, raw):
        assert [image.data for image in pixels_from_pb(request, PIXELS)] == [
            image.tobytes() for image in values
        ]


@pytest.mark.parametrize("length", [0, 47, 49, 96])
def test_pixels_of_another_size_than_their_shape_are_refused(length: int) -> None:
    with pytest.raises(BadInput, match=f"{length} bytes; FP32 .* has 48"):
        pixels_from_pb(_request(PIXELS, 1, 3, 2, 2, raw=bytes(length)), PIXELS)


def test_typed_values_of_another_number_than_the_shape_says_are_refused() -> None:
    with pytest.raises(BadInput, match="fp32_contents has 11 elements; the shape says 12"):
        pixels_from_pb(_request(PIXELS, 1, 3, 2, 2, fp32_contents=[0.0] * 11), PIXELS)
    with pytest.raises(BadInput, match="bytes_contents has 1 elements; the shape says 2"):
        files_from_pb(_request(TEXT, 2, bytes_contents=[b"port"]), TEXT)


@pytest.mark.parametrize("shape", [(), (1, 3, 2), (1, 3, 2, 3), (1, 3, 2, 2, 1), (1, 12)])
def test_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(BadInput, match=r"\[-1, 3, 2, 2\], not"):
        pixels_from_pb(_request(PIXELS, *shape, raw=bytes(48)), PIXELS)


@pytest.mark.parametrize("count", [0, -1, MAX_ITEMS + 1, (1 << 63) - 1, -(1 << 63)])
def test_a_batch_beyond_the_bounds_is_refused_before_its_contents_are_read(count: int) -> None:
    with pytest.raises(BadInput, match=f"{count} items in one request; send between 1 and 256"):
        files_from_pb(_request(TEXT, count, raw=b"no element"), TEXT)


def test_the_largest_batch_is_taken() -> None:
    request = _request(TEXT, MAX_ITEMS, bytes_contents=[b"port"] * MAX_ITEMS)
    assert len(files_from_pb(request, TEXT)) == MAX_ITEMS


def test_one_input_of_the_right_name_and_datatype_is_taken() -> None:
    image = TensorSpec("image", "BYTES")
    with pytest.raises(BadInput, match="'image'; the request has 'text'"):
        files_from_pb(_request(TEXT, 1, bytes_contents=[b"port"]), image)
    with pytest.raises(BadInput, match="the request has none"):
        files_from_pb(pb.ModelInferRequest(), TEXT)
    twice = _request(TEXT, 1, bytes_contents=[b"port"])
    twice.inputs.append(twice.inputs[0])
    with pytest.raises(BadInput, match="'text', 'text'"):
        files_from_pb(twice, TEXT)
    other = TensorSpec("text", "FP32")
    with pytest.raises(BadInput, match="text is BYTES, not 'FP32'"):
        files_from_pb(_request(other, 1), TEXT)


def test_contents_come_in_one_form_and_once() -> None:
    both = _request(TEXT, 1, raw=_encode([b"port"]), bytes_contents=[b"port"])
    with pytest.raises(BadInput, match="both contents and raw contents"):
        files_from_pb(both, TEXT)
    two = _request(TEXT, 1, raw=_encode([b"port"]))
    two.raw_input_contents.append(b"")
    with pytest.raises(BadInput, match="1 input and 2 raw contents"):
        files_from_pb(two, TEXT)


def test_shared_memory_and_classes_are_refused() -> None:
    request = _request(TEXT, 1)
    request.inputs[0].parameters["shared_memory_region"].string_param = "region"
    with pytest.raises(BadInput, match="Shared memory isn't supported; send text"):
        files_from_pb(request, TEXT)
    for parameter, words in (
        ("shared_memory_region", "Shared memory"),
        ("classification", "class"),
    ):
        asking = pb.ModelInferRequest()
        output = asking.outputs.add(name="embedding")
        output.parameters[parameter].int64_param = 1
        with pytest.raises(BadInput, match=words):
            require_outputs(asking, OUTPUT)


def test_the_one_output_may_be_named_or_left_out() -> None:
    request = pb.ModelInferRequest()
    require_outputs(request, OUTPUT)
    request.outputs.add(name="embedding")
    require_outputs(request, OUTPUT)
    request.outputs.add(name="scores")
    with pytest.raises(BadInput, match="no output 'scores'; the output is 'embedding'"):
        require_outputs(request, OUTPUT)


def test_rows_go_out_as_raw_little_endian_floats() -> None:
    rows = np.arange(8, dtype=np.float32).reshape(2, 4)
    reply = pb.ModelInferResponse()
    rows_to_pb(rows, OUTPUT, reply)
    (output,) = reply.outputs
    assert (output.name, output.datatype, list(output.shape)) == ("embedding", "FP32", [2, 4])
    assert list(reply.raw_output_contents) == [struct.pack("<8f", *range(8))]


def test_long_names_are_cut_in_messages() -> None:
    assert quote("text") == "'text'"
    assert len(quote("x" * 10_000)) < 100
