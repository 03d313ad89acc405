"""Mirrors, bundles, the rate limit and the cache, by the commands as a user runs them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from programs import Programs
from tiny_registry import fill_home

FULL = 5  # exit code of a failed check of bytes


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    """A running server with two versions of `tiny`, the first in production."""
    folder = tmp_path_factory.mktemp("server")
    fill_home(folder / "home", folder / "files")
    programs = Programs(folder / "home")
    with programs.serve_registry():
        yield programs


@pytest.fixture
def node(server: Programs, tmp_path: Path) -> Programs:
    node = Programs(tmp_path / "node")
    node.server = server.server
    return node


def test_a_node_gets_its_bytes_from_another_node(
    server: Programs, node: Programs, tmp_path: Path
) -> None:
    first = Programs(tmp_path / "first")
    first.server = server.server
    first.pull("tiny")
    with first.serve_agent("--mirror"):
        pulled = node.pull("tiny", "--mirror", first.agent, "--json").json()
    assert pulled["bytes_fetched"] > 0
    assert {one["tower"] for one in pulled["chosen"]} == {"vision", "text"}


def test_a_mirror_that_is_not_there_does_no_harm(node: Programs) -> None:
    pulled = node.pull("tiny", "--tower", "text", "--mirror", "127.0.0.1:9", "--json").json()
    assert pulled["bytes_fetched"] > 0


def test_the_cache_is_listed_and_pruned(node: Programs) -> None:
    assert "Nothing was pulled" in node.run("rsq-agent", "cache", "ls").out
    for number in (1, 2, 1):  # the second is then kept for a rollback
        node.pull(f"tiny:{number}", "--tower", "text")
    listed = node.run("rsq-agent", "cache", "ls", "--json").json()["artifacts"]
    assert [row["state"] for row in listed] == ["active", "previous"]
    in_use = node.run("rsq-agent", "cache", "rm", listed[0]["id"], check=False)
    assert in_use.code == 2
    assert "serves" in in_use.err
    (node.home / "agent" / "active.json").unlink()  # then nothing is in use
    planned = node.run("rsq-agent", "cache", "prune", "--dry-run", "--json").json()
    assert len(planned["artifact_ids"]) == 2
    assert "Removed" in node.run("rsq-agent", "cache", "prune").out
    assert node.run("rsq-agent", "cache", "ls", "--json").json() == {"artifacts": []}


def test_a_rate_is_a_size(node: Programs) -> None:
    done = node.pull("tiny", "--limit-rate", "fast", check=False)
    assert done.code == 2
    assert "4MB" in node.pull("--help").out
    assert "not a size" in done.err
    node.pull("tiny", "--tower", "text", "--limit-rate", "40MB")


def test_a_node_without_a_network_imports_a_bundle(
    server: Programs, node: Programs, tmp_path: Path
) -> None:
    bundle = tmp_path / "tiny.rsq"
    server.run("rsq-server", "export", "tiny:1", "-o", bundle)
    plan = node.run("rsq-agent", "import", bundle, "--plan", "--json").json()
    assert plan["bytes_to_fetch"] > 0
    pulled = node.pull("tiny:1", "--tower", "text", "--json").json()
    imported = node.run("rsq-agent", "import", bundle, "--agent", node.agent, "--json").json()
    assert imported["bytes_reused"] > 0
    assert pulled["chosen"][0]["id"] in {one["id"] for one in imported["chosen"]}
    with node.serve_agent():
        assert node.run("rsq-agent", "status", "--agent", node.agent, "--json").json()["version"]


@pytest.mark.parametrize("harm", ["cut", "damaged", "other"])
def test_a_bundle_that_is_no_good_is_refused(
    server: Programs, node: Programs, tmp_path: Path, harm: str
) -> None:
    bundle = tmp_path / "tiny.rsq"
    server.run("rsq-server", "export", "tiny:1", "-o", bundle)
    data = bytearray(bundle.read_bytes())
    if harm == "cut":
        data = data[:-5000]
    elif harm == "damaged":
        position = data.rfind(b"ustar")  # the last header
        data[position + 2000] ^= 1
    else:
        data = bytearray(b"not a bundle" * 1000)
    bundle.write_bytes(data)
    done = node.run("rsq-agent", "import", bundle, check=False)
    assert done.code == (2 if harm == "other" else FULL), done.err
    assert str(bundle) in done.err
    assert not (node.home / "agent" / "active.json").exists()


def test_a_deprecated_version_is_pulled_with_a_warning(server: Programs, node: Programs) -> None:
    server.run("rsq-server", "deprecate", "tiny:2", "--reason", "wrong mean and std")
    done = node.pull("tiny:2", "--tower", "text", "--plan")
    assert "wrong mean and std" in done.err
    shutil.rmtree(node.home, ignore_errors=True)
