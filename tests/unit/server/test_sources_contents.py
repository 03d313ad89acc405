"""Which files of a checkpoint count, and their digest."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from rsq.errors import BadSource, IntegrityError
from rsq_server.sources.contents import (
    RemoteFile,
    digest_source,
    is_decisive,
    is_wanted,
    read_folder,
    require_checkpoint,
    verify_file,
)

FILES = {"config.json": b"{}", "model.safetensors": b"weights", "tokenizer.json": b"[]"}


def write_files(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def digest_folder(folder: Path) -> str:
    return digest_source(read_folder(folder))


@pytest.mark.parametrize(
    "name",
    [
        "config.json",
        "preprocessor_config.json",
        "model.safetensors",
        "model-00001-of-00002.safetensors",
        "model.safetensors.index.json",
        "spiece.model",
        "merges.txt",
    ],
)
def test_what_decides_the_towers_is_wanted_and_digested(name: str) -> None:
    assert is_decisive(name)
    assert is_wanted(name)


@pytest.mark.parametrize("name", ["README.md", "LICENSE", "LICENSE.txt", "LICENCE", "license"])
def test_the_licence_is_wanted_but_not_digested(name: str) -> None:
    assert is_wanted(name)
    assert not is_decisive(name)


@pytest.mark.parametrize(
    "name",
    [
        "pytorch_model.bin",
        "training_args.bin",
        "model.pt",
        "metrics.json",
        "checkpoint-5/model.safetensors",
        "../config.json",
        "/etc/config.model",
        "../LICENSE",
        "LICENSE/x",
        ".hidden.safetensors",
        "a*.safetensors",
    ],
)
def test_pickles_subfolders_and_odd_names_are_never_fetched(name: str) -> None:
    assert not is_wanted(name)


def test_the_same_content_has_the_same_digest_under_any_path(tmp_path: Path) -> None:
    first = write_files(tmp_path / "a", FILES)
    second = write_files(tmp_path / "deeper" / "b", dict(reversed(FILES.items())))
    assert digest_folder(first) == digest_folder(second)


def test_readme_and_bystanders_leave_the_digest_alone(tmp_path: Path) -> None:
    bare = write_files(tmp_path / "a", FILES)
    extra = {"README.md": b"hi", "LICENSE": b"x", "metrics.json": b"1", "optimizer.bin": b"2"}
    dressed = write_files(tmp_path / "b", FILES | extra)
    assert digest_folder(bare) == digest_folder(dressed)


@pytest.mark.parametrize(
    "changed",
    [
        FILES | {"config.json": b"{ }"},
        FILES | {"model.safetensors": b"Weights"},
        FILES | {"merges.txt": b""},
        {k: v for k, v in FILES.items() if k != "tokenizer.json"},
        {k if k != "tokenizer.json" else "vocab.json": v for k, v in FILES.items()},
    ],
)
def test_any_change_of_a_decisive_file_changes_the_digest(
    tmp_path: Path, changed: dict[str, bytes]
) -> None:
    first, second = write_files(tmp_path / "a", FILES), write_files(tmp_path / "b", changed)
    assert digest_folder(first) != digest_folder(second)


def test_the_digest_is_the_documented_one(tmp_path: Path) -> None:
    folder = write_files(tmp_path / "a", {"config.json": b"{}"})
    row = f'[["config.json",2,"{hashlib.sha256(b"{}").hexdigest()}"]]'
    assert digest_folder(folder) == hashlib.sha256(row.encode()).hexdigest()


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ([], "empty"),
        (["model.safetensors"], "config.json"),
        (["config.json"], "no weights"),
        (["config.json", "x/model.safetensors"], "no weights"),
        (["config.json", "pytorch_model.bin"], "pytorch_model.bin.*safetensors"),
    ],
)
def test_what_is_no_checkpoint_is_refused_with_the_reason(names: list[str], reason: str) -> None:
    with pytest.raises(BadSource, match=reason):
        require_checkpoint(names, "hf:org/name")


def test_a_downloaded_file_that_fits_the_listing_is_described(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(b"hello\n")
    sha256 = hashlib.sha256(b"hello\n").hexdigest()
    # `git hash-object` of a file that holds "hello\n"
    remote = RemoteFile("config.json", 6, sha256, "ce013625030ba8dba906f756967f9e9ca394464a")
    file = verify_file(path, remote)
    assert (file.size_bytes, file.sha256) == (6, sha256)


@pytest.mark.parametrize(
    "remote",
    [
        RemoteFile("config.json", 7),
        RemoteFile("config.json", 6, "0" * 64),
        RemoteFile("config.json", 6, None, "0" * 40),
    ],
)
def test_a_downloaded_file_that_differs_is_refused_and_leaves_the_cache(
    tmp_path: Path, remote: RemoteFile
) -> None:
    blob, link = tmp_path / "blob", tmp_path / "config.json"
    blob.write_bytes(b"hello\n")
    link.symlink_to(blob)
    with pytest.raises(IntegrityError, match=r"config\.json"):
        verify_file(link, remote)
    assert not blob.exists()
    assert not link.is_symlink()


def test_a_file_that_never_arrived_is_an_integrity_error(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match=r"without config\.json"):
        verify_file(tmp_path / "config.json", RemoteFile("config.json"))
