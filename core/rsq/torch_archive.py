"""What a node accepts inside a `.pt2`: plain weights and a graph of known operators, no code.

A digest says that a file is the publisher's, not that it is harmless, and `torch.export.load` runs
whatever it is given: it unpickles tensors, constants and sample inputs, loads compiled libraries,
evaluates shapes as Python and calls any function below `torch` that a node of the graph names. So
the archive is read before torch does, and refused unless it holds nothing but

    models/model.json                       the graph: OPERATORS, over symbols and numbers
    data/weights/weight_*, data/constants/tensor_*      raw bytes, described by
    data/weights/model_weights_config.json, data/constants/model_constants_config.json
    data/sample_inputs/model.pt             empty
    archive_format, archive_version, byteorder, .data/version, .data/serialization_id
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rsq.errors import IntegrityError

GRAPH_RECORD = "models/model.json"
_CONFIG_RECORDS = (
    "data/weights/model_weights_config.json",
    "data/constants/model_constants_config.json",
)
_SAMPLE_RECORD = "data/sample_inputs/model.pt"
_PLAIN_RECORD = re.compile(
    r"archive_format|archive_version|byteorder|\.data/version|\.data/serialization_id"
    r"|data/weights/weight_[0-9]+|data/constants/tensor_[0-9]+"
)
_PAYLOAD = re.compile(r"(weight|tensor)_[0-9]+")

# Every operator that exported SigLIP and CLIP towers are made of; `linear` is for a layer of a
# shape that has no INT8 product on CUDA.
OPERATORS = frozenset(
    {
        "_operator.mul",
        *(
            f"torch.ops.aten.{name}"
            for name in (
                "_int_mm.default",
                "abs.default",
                "add.Tensor",
                "alias.default",
                "amax.default",
                "arange.default",
                "argmax.default",
                "cat.default",
                "clamp.default",
                "conv2d.default",
                "conv2d.padding",
                "div.Tensor",
                "embedding.default",
                "eq.Scalar",
                "expand.default",
                "flatten.using_ints",
                "gelu.default",
                "index.Tensor",
                "layer_norm.default",
                "le.Tensor",
                "linear.default",
                "mul.Tensor",
                "pad.default",
                "reciprocal.default",
                "reshape.default",
                "round.default",
                "scaled_dot_product_attention.default",
                "select.int",
                "sigmoid.default",
                "slice.Tensor",
                "sym_size.int",
                "t.default",
                "to.device",
                "to.dtype",
                "transpose.int",
                "unsqueeze.default",
                "view.default",
            )
        ),
    }
)
# torch looks a name up as an operator when it begins so, dot or no dot.
_OPERATOR_STARTS = ("torch", "_operator", "math", "#")

# What torch evaluates as Python; without brackets, quotes or operators nothing can be called.
_WORD = re.compile(r"[\w.+]*", re.ASCII)
_SYMBOL = re.compile(r"Symbol\('s[0-9]+', positive=True, integer=True\)|Integer\([0-9]+\)")
_SUM_OR_PRODUCT = re.compile(r"(?:Add|Mul)\(0(?:, 0)*\)")
_MAX_NESTING = 16
_LEAF = '{"type": null, "context": null, "children_spec": []}'
_CALL_SHAPES = (
    # One tensor in, one out.
    '[1, {"type": "builtins.tuple", "context": "null", "children_spec": [{"type": '
    f'"builtins.tuple", "context": "null", "children_spec": [{_LEAF}]}}, {{"type": '
    '"builtins.dict", "context": "[]", "children_spec": []}]}]',
    f"[1, {_LEAF}]",
)


def check_archive(names: Sequence[str], read: Callable[[str], bytes]) -> None:
    """`names` are the archive's records and `read` gives the bytes of one. Raises IntegrityError,
    naming what is refused."""
    for name in names:
        if name not in (GRAPH_RECORD, _SAMPLE_RECORD, *_CONFIG_RECORDS) and not (
            _PLAIN_RECORD.fullmatch(name)
        ):
            raise _refuse(f"the record {name[:80]!r}")
    if read(_SAMPLE_RECORD):
        raise _refuse("pickled sample inputs")
    for name in _CONFIG_RECORDS:
        _check_payloads(_parse(read(name)))
    for key, text in _strings(_parse(read(GRAPH_RECORD))):
        if key is not None and not _WORD.fullmatch(key):
            raise _refuse(f"the name {key[:80]!r}")
        _check_text(text)


def _check_payloads(config: Any) -> None:
    entries = config.get("config") if isinstance(config, dict) else None
    if not isinstance(entries, dict):
        raise _refuse("weights without a description")
    for name, entry in entries.items():
        plain = isinstance(entry, dict) and entry.get("use_pickle") is False
        if not plain or not _PAYLOAD.fullmatch(str(entry.get("path_name"))):
            raise _refuse(f"{name[:80]!r}, which is not raw bytes")


def _check_text(text: str) -> None:
    if text.startswith(_OPERATOR_STARTS):
        if text not in OPERATORS:
            raise _refuse(f"the operator {text[:80]!r}")
    elif not (_WORD.fullmatch(text) or text in _CALL_SHAPES or _is_size(text)):
        raise _refuse(f"the expression {text[:80]!r}")


def _is_size(text: str) -> bool:
    """Whether `text` is a sum or product of symbols and integers, as torch writes sizes."""
    text = _SYMBOL.sub("0", text)
    for _ in range(_MAX_NESTING):
        text = _SUM_OR_PRODUCT.sub("0", text)
    return text == "0"


def _strings(value: Any) -> Iterator[tuple[str | None, str]]:
    """Every string below `value`, and every key, with an empty string, of its objects."""
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            for key in item:
                yield key, ""
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)
        elif isinstance(item, str):
            yield None, item


def _parse(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as e:
        raise _refuse("a description that is not JSON") from e


def _refuse(what: str) -> IntegrityError:
    return IntegrityError(f"This torch program holds {what}; rsq loads plain ones only.")
