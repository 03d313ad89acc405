"""The two commands as subprocesses, with the demo model: the shapes that scripts rely on, every bad
input's sentence and exit code, and the code of the guides."""

from __future__ import annotations

import json
import re
import shlex
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from programs import COMMANDS, Programs

from rsq.client import Client
from rsq_server.demo.scenes import generate_scenes

REPOSITORY = Path(__file__).parents[2]
QUERY = "port with large cargo ships"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    """The demo model, published, pulled and served, with 30 scenes indexed."""
    programs = Programs(tmp_path_factory.mktemp("home"))
    programs.run(
        "rsq-server", "publish", "demo", "--name", "demo", "--variants", "fp32,int8",
        "--alias", "production",
    )  # fmt: skip
    with programs.serve_registry():
        programs.pull("demo", "--vram", "2GB")
        with programs.serve_agent():
            programs.run("rsq-agent", "index", "add", _draw(programs), "--agent", programs.agent)
            yield programs


def _draw(programs: Programs) -> Path:
    folder = programs.home / "scenes"
    folder.mkdir()
    for i, scene in enumerate(generate_scenes(seed=99, per_class=3, size=128)):
        scene.image.save(folder / f"{scene.label.replace(' ', '-')}-{i}.jpg")
    return folder


def _fails(programs: Programs, *command: str) -> tuple[int, str]:
    """Exit code and sentence of a command that must fail, the same with and without --json."""
    plain = programs.run(*command, check=False)
    shown = programs.run(*command, "--json", check=False)
    error = shown.json()["error"]
    assert plain.code == shown.code
    assert error["message"] in plain.err
    assert "Traceback" not in plain.err + shown.err
    return plain.code, error["message"]


def test_search_prints_hits_as_json_and_writes_a_contact_sheet(
    world: Programs, tmp_path: Path
) -> None:
    sheet = tmp_path / "hits.png"
    hits = world.run(
        "rsq-agent", "search", QUERY, "-k", "3", "--json", "--agent", world.agent,
        "--contact-sheet", sheet,
    ).json()["hits"]  # fmt: skip
    assert len(hits) == 3
    keys = {"score", "probability", "uri", "payload", "artifact_id"}
    assert all(set(hit) == keys for hit in hits)
    assert all("port" in Path(hit["uri"]).name for hit in hits)
    assert [hit["score"] for hit in hits] == sorted((h["score"] for h in hits), reverse=True)
    with Image.open(sheet) as picture:
        assert picture.format == "PNG"
        assert picture.width > 300


def test_search_by_image_finds_the_image_itself(world: Programs) -> None:
    image = min((world.home / "scenes").glob("airport*.jpg"))
    result = world.run(
        "rsq-agent", "search", "--image", image, "-k", "1", "--json", "--agent", world.agent
    )
    assert result.json()["hits"][0]["uri"] == str(image)


def test_pull_prints_the_shape_that_scripts_rely_on(world: Programs) -> None:
    plan = world.pull("demo", "--vram", "2GB", "--plan", "--json").json()
    assert plan["bytes_to_fetch"] == 0
    done = world.pull("demo", "--vram", "2GB", "--json").json()
    assert (done["model"], done["version"], done["bytes_fetched"]) == ("demo", 1, 0)
    assert done["bytes_reused"] > 1_000_000
    assert {c["tower"] for c in done["chosen"]} == {"vision", "text"}
    for choice in done["chosen"]:
        assert set(choice) >= {"tower", "variant", "id", "predicted_peak_bytes"}
    for candidate in done["candidates"]:
        assert set(candidate) == {"tower", "variant", "id", "reason", "detail"}
    assert len(done["candidates"]) == 4


def test_one_tower_can_be_planned_alone(world: Programs) -> None:
    plan = world.pull("demo@production", "--tower", "text", "--pin", "int8", "--plan", "--json")
    assert [(c["tower"], c["variant"]) for c in plan.json()["chosen"]] == [("text", "int8")]


def test_the_server_knows_the_node_and_what_it_measured(world: Programs) -> None:
    nodes = world.run("rsq-server", "nodes", "--json", "--server", world.server).json()["nodes"]
    status = world.run("rsq-agent", "status", "--json", "--agent", world.agent).json()
    assert [node["node_id"] for node in nodes] == [status["node_id"]]
    shown = world.run("rsq-server", "show", "demo", "--json").json()
    sources = {p["source"] for a in shown["artifacts"] for p in a["profiles"]}
    assert sources == {"publisher", f"node:{status['node_id']}"}


@pytest.mark.parametrize("size", ["2 bananas", "-1GB", "", "0"])
def test_a_budget_that_is_no_size(world: Programs, size: str) -> None:
    code, message = _fails(
        world, "rsq-agent", "pull", "demo", f"--vram={size}", "--server", world.server
    )
    assert code == 2
    assert "size" in message or "byte" in message


def test_a_budget_that_nothing_fits_lists_every_candidate(world: Programs) -> None:
    command = ("rsq-agent", "pull", "demo", "--vram", "1MB", "--server", world.server)
    code, message = _fails(world, *command)
    assert code == 4
    assert "fits 1 MB" in message
    candidates = world.run(*command, "--json", check=False).json()["error"]["candidates"]
    assert {c["reason"] for c in candidates} == {"OVER_BUDGET"}
    assert len(candidates) == 4


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("pull", "nobody"), 3, "nobody"),
        (("pull", "demo@staging"), 3, "staging"),
        (("pull", "demo:7"), 3, "7"),
        (("pull", "../demo"), 2, "NAME"),
        (("pull", "demo", "--tower", "audio"), 2, "--tower vision"),
        (("pull", "demo", "--pin", "int4"), 4, "int4"),
    ],
)
def test_what_the_registry_does_not_have(
    world: Programs, arguments: tuple[str, ...], code: int, words: str
) -> None:
    found, message = _fails(world, "rsq-agent", *arguments, "--server", world.server)
    assert found == code
    assert words in message


def test_nobody_there(world: Programs) -> None:
    for command in (
        ("rsq-agent", "pull", "demo", "--server", "127.0.0.1:1"),
        ("rsq-agent", "search", QUERY, "--agent", "127.0.0.1:1"),
        ("rsq-agent", "status", "--agent", "127.0.0.1:1"),
    ):
        code, message = _fails(world, *command)
        assert code == 8
        assert "127.0.0.1:1" in message


def test_bad_searches_and_paths(world: Programs, tmp_path: Path) -> None:
    agent = ("--agent", world.agent)
    assert _fails(world, "rsq-agent", "search", *agent)[0] == 2
    assert _fails(world, "rsq-agent", "search", "", *agent)[0] == 2
    assert _fails(world, "rsq-agent", "search", QUERY, "--collection", "none", *agent)[0] == 3
    assert _fails(world, "rsq-agent", "search", "--image", "/nowhere.png", *agent)[0] == 2
    assert _fails(world, "rsq-agent", "index", "add", "/nowhere", *agent)[0] == 2
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(min((world.home / "scenes").glob("*.jpg")).read_bytes()[:500])
    assert _fails(world, "rsq-agent", "search", "--image", str(broken), *agent)[0] == 2


def test_a_corrupt_image_is_skipped_and_reported(world: Programs, tmp_path: Path) -> None:
    scene = min((world.home / "scenes").glob("*.jpg")).read_bytes()
    (tmp_path / "good.jpg").write_bytes(scene)
    (tmp_path / "cut.jpg").write_bytes(scene[:700])
    (tmp_path / "empty.png").write_bytes(b"")
    report = world.run(
        "rsq-agent", "index", "add", tmp_path, "--collection", "mixed", "--json",
        "--agent", world.agent,
    ).json()  # fmt: skip
    assert report["added"] == 1
    assert {Path(row["uri"]).name for row in report["skipped"]} == {"cut.jpg", "empty.png"}
    assert {row["code"] for row in report["skipped"]} == {"BAD_IMAGE"}


def test_serving_refuses_what_it_cannot_do(world: Programs) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        other = Programs(world.home / "other")
        result = other.run("rsq-agent", "serve", "--listen", f"127.0.0.1:{port}", check=False)
        assert result.code == 13
        assert "in use" in result.err
        assert len(result.err.splitlines()) == 1
    result = other.run("rsq-agent", "serve", "--listen", "0.0.0.0:0", check=False)
    assert result.code == 2
    assert "--insecure" in result.err
    result = other.run("rsq-agent", "serve", "--listen", "127.0.0.1:0", check=False)
    assert result.code == 3
    assert "rsq-agent pull" in result.err


def test_an_agent_boots_and_serves_with_no_server_reachable(world: Programs) -> None:
    offline = Programs(world.home / "offline")
    offline.server = world.server
    offline.pull("demo", "--tower", "text")
    offline.server = "127.0.0.1:1"
    with offline.serve_agent("--model", "demo"), Client(offline.agent) as client:
        assert client.is_serving()
        assert client.embed_text([QUERY]).shape == (1, 128)


def test_help_is_light_and_shows_examples(world: Programs) -> None:
    for command in ("pull", "serve", "search", "index", "status"):
        assert "Example" in world.run("rsq-agent", command, "--help").out
    probe = (
        "import sys; sys.argv = ['rsq-agent', '--help']\n"
        "from rsq_agent.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'transformers', 'sqlalchemy', 'onnxruntime', 'numpy', 'grpc'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [COMMANDS / "python", "-c", probe], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "HEAVY []"


def _python_blocks(path: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", path.read_text(), flags=re.DOTALL)


@pytest.mark.parametrize("page", ["README.md", "docs/guide/client.md"])
def test_the_python_of_the_guides_runs(
    world: Programs, page: str, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks = _python_blocks(REPOSITORY / page)
    assert blocks
    names: dict[str, Any] = {"scenes": world.home / "scenes"}
    for block in blocks:
        exec(block.replace("127.0.0.1:7200", world.agent), names)
    if page.endswith("client.md"):
        printed = capsys.readouterr().out
        assert "demo 1 128" in printed
        assert "item 1" in printed


def test_the_walk_through_retrieval_runs(
    world: Programs,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from rsq_agent.cli.main import app

    monkeypatch.chdir(tmp_path)
    page = REPOSITORY / "docs/guide/retrieval.md"
    blocks = re.findall(r"```(bash|python)\n(.*?)```", page.read_text(), flags=re.DOTALL)
    assert len(blocks) >= 7
    names: dict[str, Any] = {}
    for language, block in blocks:
        if language == "python":
            exec(block.replace("127.0.0.1:7200", world.agent), names)
            continue
        for line in block.splitlines():
            program, *arguments = shlex.split(line.replace("~", str(world.home)))
            assert program == "rsq-agent"
            app([*arguments, "--agent", world.agent], standalone_mode=False)
    printed = capsys.readouterr().out
    assert "Wrote 30 vectors" in printed
    assert "Imported 30 vectors into 'harbours-copy'; skipped 0" in printed
    for name in ("hits.html", "hits.geojson", "hits.png", "labels.csv", "harbours.parquet"):
        assert (tmp_path / name).stat().st_size > 0


def test_every_command_that_the_readme_shows_exists(world: Programs) -> None:
    text = (REPOSITORY / "README.md").read_text()
    commands = set(re.findall(r"rsq-(server|agent) ([a-z]+)", text))
    assert len(commands) >= 8
    for program, command in commands:
        assert "Usage" in world.run(f"rsq-{program}", command, "--help").out
    targets = set(re.findall(r"^make ([a-z-]+)$", text, flags=re.MULTILINE))
    assert targets == {"demo", "test"}
    makefile = (REPOSITORY / "Makefile").read_text()
    assert all(f"\n{target}:" in makefile for target in targets)


def test_json_of_show_and_publish_is_the_same(world: Programs) -> None:
    shown = world.run("rsq-server", "show", "demo", "--json").out
    over_grpc = world.run("rsq-server", "show", "demo", "--json", "--server", world.server).out
    assert json.loads(shown) == json.loads(over_grpc)
