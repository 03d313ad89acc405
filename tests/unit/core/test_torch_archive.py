from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.export.pt2_archive import PT2ArchiveReader, PT2ArchiveWriter
from torch_artifacts import build_torch_artifact

from rsq.errors import IntegrityError
from rsq.providers import TORCH_CPU
from rsq.torch_archive import GRAPH_RECORD, OPERATORS, check_archive
from rsq.torch_tower import PROGRAM_NAME, TorchTower

_SIZE = "Symbol('s0', positive=True, integer=True)"
_WEIGHTS = "data/weights/model_weights_config.json"
_CONSTANTS = "data/constants/model_constants_config.json"
_SAMPLES = "data/sample_inputs/model.pt"


def _records(graph: object = None, **changed: bytes) -> dict[str, bytes]:
    payload = {"config": {"weight": {"path_name": "weight_0", "use_pickle": False}}}
    records = {
        GRAPH_RECORD: json.dumps({"nodes": []} if graph is None else graph).encode(),
        _WEIGHTS: json.dumps(payload).encode(),
        _CONSTANTS: b'{"config": {}}',
        _SAMPLES: b"",
        "data/weights/weight_0": b"\0" * 8,
        "byteorder": b"little",
    }
    return {**records, **changed}


def _check(records: dict[str, bytes]) -> None:
    check_archive(list(records), records.__getitem__)


def test_plain_weights_and_known_operators_are_accepted() -> None:
    _check(
        _records(
            {
                "nodes": [{"target": name, "name": "mul_1"} for name in sorted(OPERATORS)],
                "sizes": [_SIZE, f"Mul(Integer(64), {_SIZE})", f"Add(Mul({_SIZE}, Integer(2)), 0)"],
                "count": [1, 2.5, None, True],
                "torch_version": "2.13.0+cpu",
            }
        )
    )


@pytest.mark.parametrize(
    "name",
    [
        "data/aotinductor/model/code.so",
        "data/weights/model.pt",  # weights as one pickle, as older releases of torch wrote them
        "data/constants/custom_obj_0",
        "data/constants/opaque_obj_0",
        "data/weights/weight_0/../../x",
        "models/other.json",
        "extra/notes",
    ],
)
def test_records_that_are_not_needed_are_refused(name: str) -> None:
    with pytest.raises(IntegrityError, match="the record"):
        _check(_records(**{name: b""}))


@pytest.mark.parametrize(
    "entry",
    [
        {"path_name": "weight_0", "use_pickle": True},
        {"path_name": "weight_0"},
        {"path_name": "weight_0", "use_pickle": 0},
        {"path_name": "custom_obj_0", "use_pickle": False},
        {"path_name": "../weight_0", "use_pickle": False},
        "weight_0",
    ],
)
@pytest.mark.parametrize("record", [_WEIGHTS, _CONSTANTS])
def test_weights_that_would_be_unpickled_are_refused(record: str, entry: object) -> None:
    with pytest.raises(IntegrityError, match="not raw bytes"):
        _check(_records(**{record: json.dumps({"config": {"w": entry}}).encode()}))


def test_sample_inputs_are_refused() -> None:
    with pytest.raises(IntegrityError, match="pickled sample inputs"):
        _check(_records(**{_SAMPLES: b"\x80\x02."}))


@pytest.mark.parametrize(
    "target",
    [
        "torch.load",
        "torchload",
        "torch.ops.aten.from_file.default",
        "torch.ops.higher_order.cond",
        "_operator.attrgetter",
        "_operatorx.call",
        "math.factorial",
        "#extension:anything",
    ],
)
def test_unknown_operators_are_refused(target: str) -> None:
    with pytest.raises(IntegrityError, match="the operator"):
        _check(_records({"nodes": [{"target": target}]}))


@pytest.mark.parametrize(
    "text",
    [
        "open('x', 'w')",
        "__import__('os').system('id')",
        f"Mul({_SIZE}, open('x'))",
        f"Pow({_SIZE}, {_SIZE})",
        "Symbol('s0', positive=True, integer=True).func('x')",
        "Mul(",
        "[1, {}]",
        "lambda: 0",
    ],
)
def test_what_torch_would_evaluate_is_refused(text: str) -> None:
    for graph in ({"expr_str": text}, {text: 1}, {"guards_code": [text]}):
        with pytest.raises(IntegrityError, match=r"the (expression|name)"):
            _check(_records(graph))


@given(st.text(max_size=40), st.sampled_from(["{}", "Mul({}, Integer(2))", "Symbol('{}')"]))
def test_no_text_with_a_call_in_it_is_accepted(text: str, around: str) -> None:
    said = around.replace("{}", text)
    try:
        _check(_records({"expr_str": said}))
    except IntegrityError:
        return
    plain = said.replace("Mul(0, Integer(2))", "")
    assert not set(plain) & set("()[]{}'\"=:,; \n")


@given(st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=8))
def test_any_description_is_accepted_or_refused(value: object) -> None:
    data = json.dumps(value).encode()
    for record in (_WEIGHTS, _CONSTANTS, GRAPH_RECORD):
        try:
            _check(_records(**{record: data}))
        except IntegrityError as e:
            assert str(e).startswith("This torch program holds")


@given(st.binary(max_size=60))
def test_bytes_that_are_not_json_are_refused(data: bytes) -> None:
    try:
        json.loads(data)
    except ValueError:
        with pytest.raises(IntegrityError, match="not JSON"):
            _check(_records(**{GRAPH_RECORD: data}))


def test_a_deep_description_is_refused_not_a_crash() -> None:
    with pytest.raises(IntegrityError, match="not JSON"):
        _check(_records(**{GRAPH_RECORD: b"[" * 200_000}))


def _rewrite(source: Path, target: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """A copy of a program with its graph changed."""
    reader = PT2ArchiveReader(str(source))
    with PT2ArchiveWriter(str(target)) as writer:
        for name in reader.get_file_names():
            data = reader.read_bytes(name)
            if name == GRAPH_RECORD:
                fields = json.loads(data)
                change(fields)
                data = json.dumps(fields).encode()
            if not name.startswith((".data", "byteorder", "archive_")):
                writer.write_bytes(name, data)


def test_a_program_that_would_run_code_is_stopped_before_torch_reads_it(tmp_path: Path) -> None:
    artifact = build_torch_artifact(tmp_path / "a", "vision")
    trace = tmp_path / "trace"
    hostile = tmp_path / PROGRAM_NAME

    def attack(fields: dict[str, Any]) -> None:
        sizes = fields["graph_module"]["graph"]["tensor_values"]["inputs"]["sizes"]
        sizes[0]["as_expr"]["expr_str"] = f"__import__('os').mkdir({str(trace)!r})"

    _rewrite(artifact.folder / PROGRAM_NAME, hostile, attack)
    with pytest.raises(IntegrityError, match="the expression"):
        TorchTower(hostile, provider=TORCH_CPU, threads=1)
    assert not trace.exists()
    # Without the check it does run: this is what the check is for.
    with pytest.raises(Exception, match="None"):
        torch.export.load(hostile)
    assert trace.is_dir()


def test_a_rewritten_program_that_is_plain_still_opens(tmp_path: Path) -> None:
    artifact = build_torch_artifact(tmp_path / "a", "vision")
    copied = tmp_path / PROGRAM_NAME
    _rewrite(artifact.folder / PROGRAM_NAME, copied, lambda fields: None)
    TorchTower(copied, provider=TORCH_CPU, threads=1)
