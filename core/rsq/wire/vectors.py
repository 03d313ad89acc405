"""Vectors on the wire: little-endian rows with a data type, a count, a dimension and a scale."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rsq.errors import BadInput
from rsq.v1 import embedding_pb2 as pb

VectorType = Literal["float32", "float16", "int8"]
_TYPES: dict[VectorType, pb.DataType] = {
    "float32": pb.DATA_TYPE_FLOAT32,
    "float16": pb.DATA_TYPE_FLOAT16,
    "int8": pb.DATA_TYPE_INT8,
}
_TYPE_NAMES = {value: name for name, value in _TYPES.items()}
_DTYPES: dict[VectorType, np.dtype[Any]] = {
    "float32": np.dtype("<f4"),
    "float16": np.dtype("<f2"),
    "int8": np.dtype("i1"),
}


def type_to_pb(name: VectorType) -> pb.DataType:
    return _TYPES[name]


def type_from_pb(value: pb.DataType) -> VectorType:
    """Unset means float32. Raises BadInput for a type of a newer release."""
    if value == pb.DATA_TYPE_UNSPECIFIED:
        return "float32"
    if value not in _TYPE_NAMES:
        raise BadInput(f"Unknown vector type number {int(value)}.")
    return _TYPE_NAMES[value]


def vectors_to_pb(rows: NDArray[np.float32], kind: VectorType) -> pb.Vectors:
    """`rows` is float32 [n, dim]. int8 keeps one scale for all rows: max|x| / 127."""
    scale = 1.0
    if kind == "int8":
        # At least the smallest normal float32: the scale travels as one.
        scale = max(float(np.abs(rows).max(initial=0.0)) / 127, float(np.finfo(np.float32).tiny))
        stored = np.rint(rows / scale).astype(_DTYPES[kind])
    else:
        stored = rows.astype(_DTYPES[kind])
    return pb.Vectors(
        data=stored.tobytes(),
        dtype=type_to_pb(kind),
        count=rows.shape[0],
        dimension=rows.shape[1],
        scale=scale,
    )


def vectors_from_pb(message: pb.Vectors) -> NDArray[np.float32]:
    """float32 [count, dimension]. Raises BadInput when the bytes do not add up, and for numbers
    that are not finite."""
    dtype = _DTYPES[type_from_pb(message.dtype)]
    if len(message.data) != message.count * message.dimension * dtype.itemsize:
        raise BadInput(
            f"{len(message.data)} bytes are not {message.count} x {message.dimension} {dtype}."
        )
    rows = np.frombuffer(message.data, dtype).reshape(message.count, message.dimension)
    vectors = rows.astype(np.float32)
    if dtype.kind == "i":
        if not math.isfinite(message.scale):
            raise BadInput("The scale of the vectors is not finite.")
        with np.errstate(over="ignore"):
            vectors *= np.float32(message.scale)
    if not np.isfinite(vectors).all():
        raise BadInput("The vectors hold something else than finite numbers.")
    return vectors
