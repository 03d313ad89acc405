"""`rsq-server export` and `rsq-server import` on registries in tmp_path."""

from __future__ import annotations

from pathlib import Path

import pytest
from server_command import run_server_command
from tiny_registry import fill_home

from rsq.bundle import BundleReader
from rsq.records import VersionRow


@pytest.fixture
def versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[VersionRow]:
    """Two versions of `tiny`, the first in production, in the registry that commands then use."""
    monkeypatch.setenv("RSQ_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return fill_home(tmp_path / "home", tmp_path / "artifacts")


def move(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on commands use another registry, which is empty."""
    monkeypatch.setenv("RSQ_HOME", str(tmp_path / "other"))


@pytest.mark.parametrize(
    ("reference", "number"), [("tiny", 1), ("tiny:2", 2), ("tiny@production", 1)]
)
def test_exports_what_the_reference_means(
    versions: list[VersionRow], tmp_path: Path, reference: str, number: int
) -> None:
    result = run_server_command("export", reference)
    path = tmp_path / f"tiny-{number}.rsq"
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(f"tiny:{number} is in {path.name} (")
    with BundleReader(path) as bundle:
        bundle.verify()
        assert bundle.version().artifacts == versions[number - 1].artifacts


def test_json_names_the_file_and_what_is_in_it(versions: list[VersionRow], tmp_path: Path) -> None:
    target = tmp_path / "vision.rsq"
    shown = run_server_command(
        "export", "tiny", "--tower", "vision", "--variants", "fp32", "-o", str(target), "--json"
    ).json()
    assert shown == {
        "model": "tiny",
        "version": 1,
        "path": str(target),
        "bytes": target.stat().st_size,
        "artifacts": [versions[0].artifacts[0].id],
    }


@pytest.mark.parametrize("options", [("-o", "moved"), ("--oci", "moved")])
def test_another_registry_gets_the_same_ids_once(
    versions: list[VersionRow],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, str],
) -> None:
    run_server_command("export", "tiny:2", *options)
    move(tmp_path, monkeypatch)
    first = run_server_command("import", "moved", "--alias", "staging", "--json").json()
    (added,) = first["versions"]
    assert (added["model"], added["version"], added["is_new"]) == ("tiny", 1, True)
    assert added["artifacts"] == [row.id for row in versions[1].artifacts]
    assert added["space_id"] == versions[1].space_id
    assert added["bytes_stored"] > 0
    shown = run_server_command("show", "tiny@staging").out
    again = run_server_command("import", "moved")
    assert (again.code, again.err) == (0, "")
    assert again.out == "Nothing to add: tiny:1 has these very artifacts.\n"
    assert run_server_command("show", "tiny@staging").out == shown


def test_a_layout_of_two_versions_is_imported_whole(
    versions: list[VersionRow], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_server_command("export", "tiny:1", "--oci", "moved")
    run_server_command("export", "tiny:2", "--oci", "moved")
    move(tmp_path, monkeypatch)
    result = run_server_command("import", "moved", "--name", "other")
    assert [line.split(":")[0] for line in result.out.splitlines()] == ["Imported other"] * 2
    assert run_server_command("models", "--json").json()["models"][0]["versions"] == 2


@pytest.mark.parametrize("command", ["export", "import"])
def test_the_help_has_examples(command: str) -> None:
    result = run_server_command(command, "--help")
    assert (result.code, result.err) == (0, "")
    assert result.out.partition("Examples")[2].count(f"rsq-server {command} ") == 3


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("export", "unknown"), 3, "this registry has: tiny."),
        (("export", "tiny", "--variants", "int4"), 2, "has no variant 'int4'; it has fp32."),
        (("export", "tiny", "--tower", "audio"), 2, "--tower vision or --tower text"),
        (("export", "tiny", "-o", "a", "--oci", "b"), 2, "choose one"),
        (("export", "tiny", "-o", "missing/a"), 13, "missing"),
        (("export", "tiny", "--oci", "."), 2, "something else"),
        (("import", "missing"), 13, "can't be read"),
        (("import", "."), 2, "no OCI image layout"),
        (("import", "home/server/registry.db"), 2, "not what `rsq-server export` writes"),
        (("import", "x", "--alias", "3"), 2, "not an alias"),
        (("import", "x", "--name", "../x"), 2, "not a model name"),
    ],
)
def test_a_failure_is_one_sentence(
    versions: list[VersionRow], arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    result = run_server_command(*arguments)
    assert (result.code, result.out, result.err.count("\n")) == (code, "", 1)
    assert sentence in result.err


@pytest.mark.parametrize(
    ("position", "sentence"), [(-1, "damaged at its end"), (-2000, "is damaged in blob")]
)
def test_a_damaged_bundle_is_5_and_adds_nothing(
    versions: list[VersionRow],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    position: int,
    sentence: str,
) -> None:
    run_server_command("export", "tiny", "-o", "moved")
    data = bytearray((tmp_path / "moved").read_bytes())
    data[position] ^= 1
    (tmp_path / "moved").write_bytes(data)
    move(tmp_path, monkeypatch)
    result = run_server_command("import", "moved")
    assert (result.code, result.out, result.err.count("\n")) == (5, "", 1)
    assert sentence in result.err
    assert run_server_command("models", "--json").json() == {"models": []}


def test_a_cut_off_bundle_is_5_and_says_so(versions: list[VersionRow], tmp_path: Path) -> None:
    run_server_command("export", "tiny", "-o", "moved")
    (tmp_path / "cut").write_bytes((tmp_path / "moved").read_bytes()[:-1])
    result = run_server_command("import", "cut")
    assert result.code == 5
    assert "cut off" in result.err
