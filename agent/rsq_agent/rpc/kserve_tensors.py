"""Tensors of the Open Inference Protocol: what a request holds, and rows as an output.

Counts, shapes and lengths are checked before anything is copied: they are the caller's claims.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Container
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rsq.errors import BadInput
from rsq.kserve import inference_pb2 as pb
from rsq_agent.inference.embedding import MAX_ITEMS, RawPixels, naming_item

Datatype = Literal["BYTES", "FP32"]
LENGTH_BYTES = 4  # before each element of a BYTES tensor in raw contents, little-endian
SHOWN_LENGTH = 80  # of a name, in characters


@dataclass(frozen=True)
class TensorSpec:
    """A tensor of a model; `dims` are without the batch."""

    name: str
    datatype: Datatype
    dims: tuple[int, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """As metadata tells it: -1 is the batch."""
        return (-1, *self.dims)


def texts_from_pb(request: pb.ModelInferRequest, spec: TensorSpec) -> list[str]:
    """Raises BadInput."""
    texts = []
    for index, item in enumerate(files_from_pb(request, spec)):
        with naming_item(index):
            try:
                texts.append(item.decode())
            except UnicodeDecodeError as e:
                raise BadInput("The text is not UTF-8.") from e
    return texts


def files_from_pb(request: pb.ModelInferRequest, spec: TensorSpec) -> list[bytes]:
    """The elements of the request's BYTES tensor. Raises BadInput."""
    tensor, count = _require_input(request, spec)
    if request.raw_input_contents:
        return decode_bytes(request.raw_input_contents[0], count)
    elements = tensor.contents.bytes_contents
    _require_elements(len(elements), count, "bytes_contents")
    return list(elements)


def pixels_from_pb(request: pb.ModelInferRequest, spec: TensorSpec) -> list[RawPixels]:
    """The images of the request's FP32 tensor. Raises BadInput."""
    tensor, count = _require_input(request, spec)
    item_bytes = 4 * math.prod(spec.dims)
    if request.raw_input_contents:
        data = request.raw_input_contents[0]
        if len(data) != count * item_bytes:
            raise BadInput(
                f"The raw contents of {spec.name} have {len(data)} bytes; FP32 "
                f"{list(tensor.shape)} has {count * item_bytes}."
            )
    else:
        values = tensor.contents.fp32_contents
        _require_elements(len(values), count * item_bytes // 4, "fp32_contents")
        data = np.fromiter(values, "<f4", len(values)).tobytes()
    return [RawPixels(data[at : at + item_bytes]) for at in range(0, len(data), item_bytes)]


def decode_bytes(data: bytes, count: int) -> list[bytes]:
    """The `count` elements of a BYTES tensor's raw contents. Raises BadInput."""
    elements = []
    at = 0
    for index in range(count):
        start = at + LENGTH_BYTES
        if start > len(data):
            raise BadInput(
                f"The raw contents end before element {index} of {count}; a BYTES element follows "
                "its length, four bytes in little-endian order."
            )
        (length,) = struct.unpack_from("<I", data, at)
        at = start + length
        if at > len(data):
            raise BadInput(
                f"Element {index} says that it has {length} bytes; {len(data) - start} follow."
            )
        elements.append(data[start:at])
    if at != len(data):
        raise BadInput(f"{len(data) - at} bytes follow the last of {count} elements.")
    return elements


def require_outputs(request: pb.ModelInferRequest, spec: TensorSpec) -> None:
    """Raises BadInput when the request asks for another output than `spec`, or for one in another
    form than its values in the reply."""
    for output in request.outputs:
        if output.name != spec.name:
            raise BadInput(f"There is no output {quote(output.name)}; the output is {spec.name!r}.")
        if "classification" in output.parameters:
            raise BadInput("Embeddings have no classes; ask for the output as it is.")
        _refuse_shared_memory(output.name, output.parameters)


def rows_to_pb(rows: NDArray[np.float32], spec: TensorSpec, reply: pb.ModelInferResponse) -> None:
    """Adds float32 [n, dim] to `reply` as raw contents."""
    reply.outputs.add(name=spec.name, datatype=spec.datatype, shape=rows.shape)
    reply.raw_output_contents.append(rows.astype("<f4").tobytes())


def quote(name: str) -> str:
    """A name from a request, fit for an error's sentence."""
    return repr(name if len(name) <= SHOWN_LENGTH else f"{name[:SHOWN_LENGTH]}...")


def _require_input(
    request: pb.ModelInferRequest, spec: TensorSpec
) -> tuple[pb.ModelInferRequest.InferInputTensor, int]:
    """The one input and its batch."""
    if [tensor.name for tensor in request.inputs] != [spec.name]:
        names = ", ".join(quote(tensor.name) for tensor in request.inputs[:4]) or "none"
        raise BadInput(f"The model takes one input, {spec.name!r}; the request has {names}.")
    (tensor,) = request.inputs
    if tensor.datatype != spec.datatype:
        raise BadInput(f"{spec.name} is {spec.datatype}, not {quote(tensor.datatype)}.")
    if len(tensor.shape) != len(spec.shape) or tuple(tensor.shape[1:]) != spec.dims:
        raise BadInput(
            f"{spec.name} has the shape {list(spec.shape)}, not {list(tensor.shape[:8])}; "
            "-1 is the number of items."
        )
    count = tensor.shape[0]
    if not 1 <= count <= MAX_ITEMS:
        raise BadInput(
            f"{count} items in one request; send between 1 and {MAX_ITEMS}, and longer lists in "
            "parts."
        )
    _refuse_shared_memory(tensor.name, tensor.parameters)
    if request.raw_input_contents:
        if len(request.raw_input_contents) != 1:
            raise BadInput(
                f"The request has 1 input and {len(request.raw_input_contents)} raw contents."
            )
        if tensor.HasField("contents"):
            raise BadInput(f"{spec.name} has both contents and raw contents; send one of them.")
    return tensor, count


def _require_elements(found: int, wanted: int, field: str) -> None:
    if found != wanted:
        raise BadInput(f"{field} has {found} elements; the shape says {wanted}.")


def _refuse_shared_memory(name: str, parameters: Container[str]) -> None:
    if "shared_memory_region" in parameters:
        raise BadInput(f"Shared memory isn't supported; send {name} in the message.")
