"""Where the server keeps its data."""

from __future__ import annotations

from pathlib import Path

import pytest

from rsq_server.cli.options import build_config
from rsq_server.config import DEFAULT_LISTEN, ServerConfig


def test_everything_lies_inside_the_home_folder() -> None:
    config = ServerConfig(Path("/data/server"))
    assert config.database == Path("/data/server/registry.db")
    assert config.blobs_folder == Path("/data/server/blobs")
    assert config.work_folder == Path("/data/server/work")


def test_the_default_is_loopback_and_secure() -> None:
    config = ServerConfig(Path("/data"))
    assert (config.listen, config.insecure) == ("127.0.0.1:7100", False)
    assert config.listen == DEFAULT_LISTEN


def test_rsq_home_decides_where_data_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RSQ_HOME", str(tmp_path))
    assert build_config().home == tmp_path / "server"


def test_a_relative_rsq_home_and_a_tilde_become_absolute(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RSQ_HOME", "here")
    assert build_config().home == tmp_path / "here" / "server"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RSQ_HOME", "~/there")
    assert build_config().home == tmp_path / "there" / "server"


@pytest.mark.parametrize("value", [None, ""])
def test_without_rsq_home_it_is_the_platforms_data_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str | None
) -> None:
    monkeypatch.delenv("RSQ_HOME", raising=False)
    if value is not None:
        monkeypatch.setenv("RSQ_HOME", value)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    home = build_config().home
    assert home.is_relative_to(tmp_path)
    assert home.parts[-2:] == ("rsq", "server")
