"""Local folders and the demo as sources; the hubs are tested against a server elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from rsq.errors import BadInput, BadSource
from rsq_server.sources.source import resolve_source


def write_checkpoint(folder: Path, weights: bytes = b"weights") -> Path:
    folder.mkdir()
    (folder / "config.json").write_bytes(b"{}")
    (folder / "model.safetensors").write_bytes(weights)
    return folder


def test_a_folder_is_used_where_it_is_and_described_without_its_path(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "git-rsclip")
    source = resolve_source(str(folder), work_folder=tmp_path / "work")
    assert source.folder == folder
    assert source.description == "folder:git-rsclip"
    assert not (tmp_path / "work").exists()


def test_the_same_checkpoint_elsewhere_has_the_same_digest(tmp_path: Path) -> None:
    first = resolve_source(str(write_checkpoint(tmp_path / "a")), work_folder=tmp_path)
    second = resolve_source(str(write_checkpoint(tmp_path / "b")), work_folder=tmp_path)
    other = resolve_source(str(write_checkpoint(tmp_path / "c", b"other")), work_folder=tmp_path)
    assert first.digest == second.digest != other.digest


def test_a_relative_path_and_the_home_folder_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_checkpoint(tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolve_source("model", work_folder=tmp_path).folder == folder
    assert resolve_source("~/model", work_folder=tmp_path).folder == folder


def test_a_missing_folder_is_a_bad_source_that_names_the_hubs(tmp_path: Path) -> None:
    with pytest.raises(BadSource, match=r"no folder 'org/name'.*hf:ORG/NAME"):
        resolve_source("org/name", work_folder=tmp_path)


def test_a_file_is_a_bad_source(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"weights")
    with pytest.raises(BadSource, match="is a file"):
        resolve_source(str(path), work_folder=tmp_path)


def test_a_folder_without_weights_is_a_bad_source(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(b"{}")
    with pytest.raises(BadSource, match="no weights"):
        resolve_source(str(tmp_path), work_folder=tmp_path)


@pytest.mark.parametrize("text", ["", "  ", "a\0b", "~nobody-of-this-name/x", "x" * 5000])
def test_what_is_no_path_is_bad_input(tmp_path: Path, text: str) -> None:
    with pytest.raises((BadInput, BadSource)) as caught:
        resolve_source(text, work_folder=tmp_path)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("text", ["demo", "./model"])
def test_a_revision_belongs_to_a_hub(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadInput, match="Only a hub has revisions"):
        resolve_source(text, work_folder=tmp_path, revision="v1")


def test_the_demo_is_the_checkpoint_in_the_package(tmp_path: Path) -> None:
    source = resolve_source("demo", work_folder=tmp_path)
    assert source.description == "demo"
    assert source.folder.parent.name == "demo"
    assert (source.folder / "config.json").is_file()


def test_a_real_checkpoint_resolves(rsq_data: Path, tmp_path: Path) -> None:
    folder = rsq_data / "models" / "rsq-siglip-small"
    source = resolve_source(str(folder), work_folder=tmp_path)
    assert source.folder == folder.resolve()
    assert len(source.digest) == 64
