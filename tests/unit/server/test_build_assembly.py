from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

import pytest

from rsq_server.build import assembly
from rsq_server.build.assembly import read_tools


def test_tools_are_read_whatever_flavour_of_the_runtime_brings_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    installed = read_tools()
    assert installed["onnxruntime"] == version("onnxruntime")
    assert installed["rsq-server"] == version("rsq-server")

    def find(name: str) -> str:
        if name in ("onnxruntime", "rsq-server"):
            raise PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(assembly, "version", find)
    assert read_tools() == installed
