from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from fake_nvml import FakeNvml

from rsq.errors import BadInput
from rsq.providers import CPU_PROVIDER, TENSORRT_PROVIDER
from rsq_agent.node import node_survey
from rsq_agent.node.node_survey import (
    ask_server,
    find_gpu,
    find_runtime,
    look_at_disk,
    look_at_permissions,
    look_at_port,
    try_provider,
)


def test_nvml_tells_of_the_gpu_and_of_what_its_driver_runs() -> None:
    nvml = FakeNvml(cuda_version=12080)
    found = find_gpu(nvml)
    assert found.names == ("NVIDIA L4",)
    assert (found.driver_version, found.cuda_version) == ("580.65", (12, 8))
    assert nvml.open == 0
    assert find_gpu(FakeNvml(fault="Driver Not Loaded")).fault == "Driver Not Loaded"
    assert find_gpu(FakeNvml(names=())).fault is not None


def test_the_installed_flavours_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = find_runtime()
    assert found.fault is None
    assert CPU_PROVIDER in found.providers
    assert len(found.flavours) == 1
    second = tmp_path / "onnxruntime_rocm-1.0.dist-info"
    second.mkdir()
    (second / "METADATA").write_text("Metadata-Version: 2.1\nName: onnxruntime-rocm\nVersion: 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert find_runtime().flavours == (*found.flavours, "onnxruntime-rocm")


def test_a_provider_is_tried_in_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert try_provider(CPU_PROVIDER).fault is None
    assert "can't start it" in str(try_provider("NoProvider").fault)
    monkeypatch.setattr(node_survey, "has_tensorrt", lambda: False)
    assert "not installed" in str(try_provider(TENSORRT_PROVIDER).fault)


def test_a_folder_is_made_tried_and_left_as_it_was(tmp_path: Path) -> None:
    home = tmp_path / "home" / "agent"
    (home / "blobs").mkdir(parents=True)
    found = look_at_disk(home)
    assert found.fault is None
    assert found.links_work
    assert found.free_bytes > 0
    assert [path.name for path in home.rglob("*")] == ["blobs"]


def test_a_folder_that_cannot_be_made_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert look_at_disk(tmp_path / "file" / "agent").fault is not None


def test_where_links_fail_the_disk_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: object, target: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    found = look_at_disk(tmp_path)
    assert (found.fault, found.links_work) == (None, False)


def test_permissions_are_of_the_nearest_folder_that_exists(tmp_path: Path) -> None:
    tmp_path.chmod(0o775)
    found = look_at_permissions(tmp_path / "a" / "b")
    assert (found.folder, found.mode, found.is_foreign) == (str(tmp_path), 0o775, False)


def test_a_server_that_is_away_is_a_fact() -> None:
    with socket.socket() as closed:  # bound and never listening, so nothing answers there
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        assert ask_server(address).fault is not None


def test_a_port_is_free_or_taken_by_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_survey, "find_agent", lambda address: None)
    assert look_at_port("127.0.0.1:0").fault is None
    with socket.create_server(("127.0.0.1", 0)) as taken:
        found = look_at_port(f"127.0.0.1:{taken.getsockname()[1]}")
    assert found.fault is not None
    with pytest.raises(BadInput):
        look_at_port("nowhere")
