"""From keys to a node that takes only what they signed, by the commands of server and agent."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tiny_registry import fill_home

from rsq.bundle import BundleReader
from rsq.cli import run_cli
from rsq_agent.cli.main import app as agent_app
from rsq_server.app import open_stores, run_server
from rsq_server.cli.main import app as server_app
from rsq_server.config import ServerConfig

PASSPHRASE = "correct horse battery"


@dataclass
class Place:
    """RSQ_HOME of a server and a node, the running server, and keys that lie elsewhere."""

    home: Path
    keys: Path
    passphrase: Path
    address: str
    capture: pytest.CaptureFixture[str]

    def server(self, *arguments: object) -> tuple[int, str]:
        return self._run(server_app, arguments)

    def agent(self, *arguments: object) -> tuple[int, str]:
        return self._run(agent_app, arguments)

    def sign(self, *arguments: object) -> tuple[int, str]:
        return self.server(
            "trust", *arguments, "--keys", self.keys, "--passphrase-file", self.passphrase
        )

    def plan(self, *arguments: object) -> tuple[int, dict[str, Any]]:
        code, printed = self.agent(
            "pull", "tiny", "--plan", "--json", "--server", self.address, *arguments
        )
        return code, json.loads(printed)

    @property
    def root(self) -> Path:
        return self.home / "server" / "trust" / "metadata" / "1.root.json"

    def _run(self, app: Callable[..., object], arguments: tuple[object, ...]) -> tuple[int, str]:
        words = [str(word) for word in arguments]
        code = run_cli(lambda: app(words, standalone_mode=False), json_errors="--json" in words)
        captured = self.capture.readouterr()
        return code, captured.out + captured.err


@pytest.fixture
def place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Place]:
    home = tmp_path / "home"
    monkeypatch.setenv("RSQ_HOME", str(home))
    fill_home(home, tmp_path / "artifacts")
    passphrase = tmp_path / "passphrase"
    passphrase.write_text(PASSPHRASE + "\n")
    config = ServerConfig(home / "server", listen="127.0.0.1:0")
    with open_stores(config) as stores, run_server(stores, config) as server:
        yield Place(home, tmp_path / "keys", passphrase, server.address, capsys)


def test_a_node_takes_only_what_was_signed_once_a_root_is_pinned(place: Place) -> None:
    assert place.plan()[0] == 0
    assert place.sign("init")[0] == 0
    code, reply = place.plan("--root", place.root)
    assert (code, reply["error"]["code"]) == (5, "UNSIGNED_ARTIFACT")
    assert place.sign("sign", "tiny:2")[0] == 0
    code, reply = place.plan()
    assert (code, reply["error"]["code"]) == (5, "ROLLED_BACK")  # production is version 1, unsigned
    assert place.sign("sign", "tiny")[0] == 0
    code, reply = place.plan()
    assert (code, reply["version"]) == (0, 1)
    assert place.sign("withdraw", "tiny:1")[0] == 0
    assert place.plan()[0] == 5


def test_a_node_says_offline_why_a_version_was_promoted(place: Place) -> None:
    place.sign("init")
    place.sign("sign", "tiny")
    place.plan("--root", place.root)
    code, printed = place.agent("trust", "why", "tiny@production", "--json")
    assert code == 0
    why = json.loads(printed)
    assert why["version"] == 1
    assert why["aliases"]["production"]["at"]
    assert why["artifacts"][0]["evaluation"]["metrics"]["top1_match"] == 0.875
    assert why["artifacts"][0]["lineage"]["source_digest"] == why["source_digest"]
    assert place.agent("trust", "why", "unknown")[0] == 3
    code, printed = place.agent("trust", "status", "--json")
    assert json.loads(printed)["versions"]["targets"] == 2
    assert json.loads(printed)["require_signed"] is True


def test_a_bundle_carries_its_metadata_and_the_import_verifies_it(
    place: Place, tmp_path: Path
) -> None:
    bundle = tmp_path / "tiny.rsq"
    place.server("export", "tiny:2", "-o", bundle)
    place.sign("init")
    place.agent("trust", "pin", place.root)
    code, printed = place.agent("import", bundle, "--plan", "--json")
    assert (code, json.loads(printed)["error"]["code"]) == (5, "UNSIGNED_ARTIFACT")
    place.sign("sign", "tiny:2")
    place.server("export", "tiny:2", "-o", bundle)
    old = bundle.read_bytes()
    code, printed = place.agent("import", bundle, "--plan", "--json")
    assert (code, json.loads(printed)["version"]) == (0, 2)
    with BundleReader(bundle) as reader:
        reader.verify()
    # An older bundle is judged by what the node knows since.
    place.sign("withdraw", "tiny:2")
    place.sign("sign", "tiny:1")
    place.plan("--tower", "vision")
    bundle.write_bytes(old)
    code, printed = place.agent("import", bundle, "--plan", "--json")
    assert (code, json.loads(printed)["error"]["code"]) == (5, "UNSIGNED_ARTIFACT")


def test_what_a_threshold_of_two_signs_waits_for_the_second(place: Place, tmp_path: Path) -> None:
    place.sign("init", "--targets-keys", "2", "--targets-threshold", "2")
    second = tmp_path / "second"
    second.mkdir()
    (place.keys / "targets-2.pem").rename(second / "targets-2.pem")
    _, printed = place.sign("sign", "tiny", "--json")
    assert json.loads(printed) == {"missing_signatures": {"targets": 1}}
    assert place.plan("--root", place.root)[0] == 5
    _, printed = place.server("trust", "status")
    assert "1 more to sign" in printed
    (second / "targets-2.pem").rename(place.keys / "targets-2.pem")
    assert place.sign("sign")[0] == 0
    assert place.plan()[0] == 0
    assert place.sign("sign")[0] == 3  # nothing waits any more


def test_keys_are_rotated_and_revoked(place: Place) -> None:
    place.sign("init", "--root-keys", "3")
    place.sign("sign", "tiny")
    place.plan("--root", place.root)
    for role in ("timestamp", "targets", "snapshot"):
        assert place.sign("rotate", role)[0] == 0
    code, printed = place.server("trust", "status", "--json")
    roles = {row["role"]: row for row in json.loads(printed)["roles"]}
    assert roles["root"]["version"] == 4
    assert place.sign("revoke", "root", roles["root"]["keys"][0])[0] == 0
    code, printed = place.sign("revoke", "root", roles["root"]["keys"][1])
    assert code == 2
    assert "rotate" in printed
    assert place.sign("refresh", "--days", "14")[0] == 0
    assert place.sign("extend", "root")[0] == 0
    assert place.sign("extend", "targets")[0] == 0
    assert place.sign("extend", "timestamp")[0] == 2
    assert place.plan()[0] == 0


def test_a_server_elsewhere_is_signed_for_without_giving_it_keys(
    place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    at_server = place.root
    monkeypatch.setenv("RSQ_HOME", str(tmp_path / "signer"))
    place.server(
        "trust",
        "init",
        "--keys",
        place.keys,
        "--passphrase-file",
        place.passphrase,
        "--server",
        place.address,
    )
    assert at_server.is_file()
    code, printed = place.sign("sign", "tiny", "--server", place.address)
    assert code == 0, printed
    assert place.plan("--root", at_server)[0] == 0


def test_the_keys_do_not_go_into_the_servers_folder_unless_chosen(place: Place) -> None:
    inside = place.home / "server" / "keys"
    command = ("trust", "init", "--keys", inside, "--passphrase-file", place.passphrase)
    code, printed = place.server(*command)
    assert (code, inside.exists()) == (2, False)
    assert "--keys-here" in printed
    assert place.server(*command, "--keys-here")[0] == 0


@pytest.mark.parametrize("passphrase", ["", "short"])
def test_an_empty_passphrase_makes_no_keys(place: Place, passphrase: str) -> None:
    place.passphrase.write_text(passphrase)
    code, printed = place.sign("init")
    assert code == 2
    assert "passphrase" in printed
    assert not place.keys.exists()


def test_a_second_root_needs_to_be_asked_for(place: Place, tmp_path: Path) -> None:
    place.sign("init")
    place.agent("trust", "pin", place.root)
    other = tmp_path / "other.json"
    other.write_text(place.root.read_text().replace("signatures", "signaturez"))
    assert place.agent("trust", "pin", other)[0] == 5
    assert place.agent("trust", "pin", place.root)[0] == 0
    assert place.agent("trust", "pin", tmp_path / "missing.json")[0] == 13


def test_waivers_are_recorded_and_bounded(place: Place) -> None:
    assert place.agent("trust", "waive", "--days", "3", "--reason", "holidays")[0] == 0
    assert place.agent("trust", "waive", "--days", "3000", "--reason", "x")[0] == 2
    assert place.agent("trust", "waive", "--days", "3")[0] == 2
    assert place.agent("trust", "waive", "--end")[0] == 0
    assert place.agent("trust", "policy", "--grace", "400")[0] == 2
    assert place.agent("trust", "policy", "--grace", "4", "--allow-unsigned")[0] == 0
    status = json.loads(place.agent("trust", "status", "--json")[1])
    assert status["waived_until"] is None
    assert [waiver["reason"] for waiver in status["waivers"]] == ["holidays"]
    assert (status["grace_days"], status["require_signed"]) == (4, False)


def test_moving_an_alias_reminds_of_its_signature_where_versions_are_signed(place: Place) -> None:
    move = ("alias", "set", "tiny", "production", 2)
    assert "trust sign" not in place.server(*move)[1]
    place.sign("init")
    assert "rsq-server trust sign tiny" in place.server(*move)[1]
    assert "trust sign" not in place.server(*move, "--json")[1]
