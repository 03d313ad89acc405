"""`rsq-server publish` with input that can't be published."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from server_command import Result, run_server_command

SIGLIP = {"model_type": "siglip", "vision_config": {}, "text_config": {}}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RSQ_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def check_nothing_was_published(result: Result, home: Path) -> None:
    """One sentence after the steps' lines, and a data folder with an empty database at most."""
    assert result.code == 2
    assert result.out == ""
    sentence = result.err.splitlines()[-1]
    assert sentence.endswith(".")
    assert not sentence.startswith("Step ")
    assert "Traceback" not in result.err
    assert run_server_command("models", "--json").json() == {"models": []}
    server = home / "server"
    assert [
        path for path in server.rglob("*") if path.is_file() and "registry.db" not in path.name
    ] == []
    assert not list((server / "work").glob("*"))


@pytest.mark.parametrize(
    "name", ["weightless", "unsupported", "garbled", "empty", "file", "missing"]
)
def test_a_folder_that_is_no_checkpoint_is_refused(home: Path, tmp_path: Path, name: str) -> None:
    for folder, config in (
        ("weightless", json.dumps(SIGLIP)),
        ("unsupported", json.dumps({"model_type": "llama"})),
        ("garbled", "{"),
    ):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "config.json").write_text(config)
    (tmp_path / "unsupported" / "model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("not a folder")
    result = run_server_command("publish", str(tmp_path / name), "--name", "tiny")
    check_nothing_was_published(result, home)


@pytest.mark.parametrize("source", ["hf:only-one-part", "modelscope:../x", ""])
def test_a_source_that_names_nothing_is_refused(home: Path, source: str) -> None:
    check_nothing_was_published(run_server_command("publish", source, "--name", "tiny"), home)


@pytest.mark.parametrize(
    "options",
    [
        ("--name", "no/such name"),
        ("--name", ""),
        ("--name", "tiny", "--variants", "fp32,int3"),
        ("--name", "tiny", "--variants", ","),
        ("--name", "tiny", "--alias", "3"),
        ("--name", "tiny", "--evaluation", "missing"),
        ("--name", "tiny", "--calibration", "missing"),
        ("--name", "tiny", "--variants", "fp32,missing.toml"),
        ("--name", "tiny", "--min-top1", "95"),
        ("--name", "tiny", "--max-recall-drop", "-0.1"),
        (),
    ],
    ids=" ".join,
)
def test_bad_options_are_refused(home: Path, options: tuple[str, ...]) -> None:
    check_nothing_was_published(run_server_command("publish", "demo", *options), home)
