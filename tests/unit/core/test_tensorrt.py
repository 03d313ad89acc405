from __future__ import annotations

from pathlib import Path

import pytest

from rsq.tensorrt import LIBRARY, has_tensorrt


def _build(folder: Path, needed: bytes) -> None:
    (folder / LIBRARY).write_bytes(b"\x7fELF\0libcudart.so.13\0" + needed + b"\0rest")


def test_the_library_that_the_runtime_was_built_for_must_load(tmp_path: Path) -> None:
    _build(tmp_path, b"libnvinfer.so.10")
    asked: list[str] = []
    assert has_tensorrt(tmp_path, asked.append)
    assert asked == ["libnvinfer.so.10"]

    def fail(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    assert not has_tensorrt(tmp_path, fail)


@pytest.mark.parametrize("needed", [b"", b"libnvonnxparser.so.10"])
def test_a_build_that_names_no_tensorrt_has_none(tmp_path: Path, needed: bytes) -> None:
    _build(tmp_path, needed)
    assert not has_tensorrt(tmp_path, lambda name: None)


def test_a_runtime_without_the_provider_has_none(tmp_path: Path) -> None:
    assert not has_tensorrt(tmp_path, lambda name: None)
