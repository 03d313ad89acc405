"""The commands in one process on a registry in tmp_path."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from server_command import run_server_command
from tiny_artifacts import profile
from tiny_registry import PEAK_BYTES, fill_home

from rsq.records import NodeReport, VersionRow
from rsq_server.app import open_stores
from rsq_server.config import ServerConfig
from rsq_server.report import version_table_rows, version_to_json


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RSQ_HOME", str(tmp_path / "home"))


@pytest.fixture
def versions(tmp_path: Path) -> list[VersionRow]:
    return fill_home(tmp_path / "home", tmp_path / "artifacts")


COMMANDS = (
    (),
    ("publish",),
    ("recipes",),
    ("report",),
    ("serve",),
    ("models",),
    ("show",),
    ("nodes",),
    ("alias",),
    ("alias", "set"),
    ("alias", "list"),
)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_help_of_every_command_has_an_example_of_it(command: tuple[str, ...]) -> None:
    result = run_server_command(*command, "--help")
    assert result.code == 0
    assert result.err == ""
    page, _, examples = result.out.partition("Example")
    assert "--help" in page
    assert " ".join(("rsq-server", *command)) in examples


def test_the_version_is_printed() -> None:
    assert run_server_command("--version").out.startswith("rsq-server ")


def test_an_empty_registry_says_what_to_do_next() -> None:
    models, nodes = run_server_command("models"), run_server_command("nodes")
    assert "rsq-server publish" in models.out
    assert "No node" in nodes.out
    assert run_server_command("models", "--json").json() == {"models": []}
    assert run_server_command("nodes", "--json").json() == {"nodes": []}


def test_models_lists_versions_and_aliases(versions: list[VersionRow]) -> None:
    assert run_server_command("models", "--json").json() == {
        "models": [{"name": "tiny", "versions": 2, "newest": 2, "aliases": {"production": 1}}]
    }
    table = run_server_command("models").out
    assert "tiny" in table
    assert "production -> 1" in table


@pytest.mark.parametrize(
    ("reference", "number"), [("tiny", 1), ("tiny:2", 2), ("tiny@production", 1)]
)
def test_show_prints_the_version_that_a_reference_means(
    versions: list[VersionRow], reference: str, number: int
) -> None:
    shown = run_server_command("show", reference, "--json").json()
    expected = version_to_json(versions[number - 1])
    assert shown == json.loads(json.dumps(expected))
    assert shown["artifacts"][0]["profiles"][0]["peak_bytes"] == PEAK_BYTES


def test_the_table_of_show_holds_the_reports_cells(versions: list[VersionRow]) -> None:
    table = run_server_command("show", "tiny:1").out
    for row in version_table_rows(versions[0]):
        for title, cell in row.items():
            assert title in table
            assert cell in table
    assert versions[0].space_id in table


def test_alias_set_moves_and_alias_list_shows(versions: list[VersionRow]) -> None:
    assert "version 2" in run_server_command("alias", "set", "tiny", "staging", "2").out
    listed = run_server_command("alias", "list", "tiny", "--json").json()
    assert listed == {"model": "tiny", "aliases": {"production": 1, "staging": 2}}
    moved = run_server_command("alias", "set", "tiny", "production", "2", "--json").json()
    assert moved == {"model": "tiny", "alias": "production", "version": 2}
    assert run_server_command("show", "tiny", "--json").json()["version"] == 2
    assert "staging" in run_server_command("alias", "list", "tiny").out


def test_a_moved_alias_names_the_user_in_its_history(
    versions: list[VersionRow], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "ada")
    run_server_command("alias", "set", "tiny", "staging", "2")
    with open_stores(ServerConfig(tmp_path / "home" / "server")) as stores:
        assert stores.catalogue.alias_history("tiny")[-1].by == "ada"


def test_nodes_lists_what_a_node_reported(versions: list[VersionRow], tmp_path: Path) -> None:
    identity = versions[0].artifacts[0].id
    report = NodeReport(
        node_id="node-1",
        hostname="[edge]",
        agent_version="0.1.0",
        device="cpu",
        providers=("CPUExecutionProvider",),
        memory_bytes=8_000_000_000,
        model="tiny",
        version=1,
        artifact_ids=(identity,),
        profiles=(profile(identity, peak_bytes=5_000_000),),
    )
    with open_stores(ServerConfig(tmp_path / "home" / "server")) as stores:
        stores.catalogue.record_node(report)
    (node,) = run_server_command("nodes", "--json").json()["nodes"]
    assert node["node_id"] == "node-1"
    assert node["artifact_ids"] == [identity]
    assert node["profiles"][0]["peak_bytes"] == 5_000_000
    assert node["seen_at"].endswith("Z")
    table = run_server_command("nodes").out
    for cell in ("node-1", "[edge]", "8 GB", "tiny:1", identity[:12], "5 MB"):
        assert cell in table


@pytest.mark.parametrize(
    ("arguments", "code", "name"),
    [
        (("show", "other"), 3, "NOT_FOUND"),
        (("show", "tiny:9"), 3, "NOT_FOUND"),
        (("show", "tiny@staging"), 3, "NOT_FOUND"),
        (("show", "../x"), 2, "BAD_INPUT"),
        (("show",), 2, "BAD_INPUT"),
        (("alias", "list", "other"), 3, "NOT_FOUND"),
        (("alias", "list", "tiny:1"), 2, "BAD_INPUT"),
        (("alias", "set", "tiny", "staging", "9"), 3, "NOT_FOUND"),
        (("alias", "set", "tiny", "3", "1"), 2, "BAD_INPUT"),
        (("alias", "set", "tiny", "staging", "0"), 2, "BAD_INPUT"),
        (("alias", "set", "tiny", "staging", "two"), 2, "BAD_INPUT"),
        (("models", "--server", "nowhere"), 2, "BAD_INPUT"),
        (("models", "--colour"), 2, "BAD_INPUT"),
        (("modles",), 2, "BAD_INPUT"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_bad_input_is_one_sentence_or_one_object_with_the_documented_code(
    versions: list[VersionRow], arguments: tuple[str, ...], code: int, name: str
) -> None:
    plain = run_server_command(*arguments)
    assert (plain.code, plain.out) == (code, "")
    assert plain.err.count("\n") == 1
    assert "Traceback" not in plain.err
    error = run_server_command(*arguments, "--json")
    assert (error.code, error.err) == (code, "")
    assert error.json()["error"]["code"] == name
    assert set(error.json()["error"]) == {"code", "message"}
    # `modles --json` is still an unknown command, with the same sentence
    assert error.json()["error"]["message"] == plain.err.removesuffix("\n")


def test_a_data_folder_that_cant_be_used_is_an_environment_fault(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file where the folder should be")
    result = run_server_command("models")
    assert result.code == 13
    assert result.err.count("\n") == 1


def test_a_database_that_is_none_is_an_environment_fault(tmp_path: Path) -> None:
    folder = tmp_path / "home" / "server"
    folder.mkdir(parents=True)
    (folder / "registry.db").write_bytes(b"this is no database" * 100)
    result = run_server_command("models")
    assert result.code == 13
    assert result.err.count("\n") == 1
