"""The command `rsq-server` as a user runs it: real processes, exit codes, and what stays behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tiny_artifacts import encode_image
from tiny_registry import fill_home, store_version

from rsq.records import VersionRow
from rsq_server.app import open_stores
from rsq_server.config import ServerConfig

COMMAND = str(Path(sys.executable).with_name("rsq-server"))
TIMEOUT_S = 120.0  # a hang, not slowness
HEAVY = {"torch", "transformers", "sqlalchemy", "alembic", "onnx", "onnxruntime", "numpy", "grpc"}
HEAVY |= {"rich", "PIL", "rsq_server.publish", "rsq_registry"}


@dataclass(frozen=True)
class Shell:
    """Runs the command with its data below `home`."""

    home: Path

    def environment(self) -> dict[str, str]:
        quiet = {k: v for k, v in os.environ.items() if k != "RSQ_DEBUG"}
        return {**quiet, "RSQ_HOME": str(self.home), "OMP_NUM_THREADS": "1"}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [COMMAND, *arguments],
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )

    def json(self, *arguments: str) -> Any:
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    @contextmanager
    def start(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """A process of the command, killed at the end if it is still there."""
        with subprocess.Popen(
            [COMMAND, *arguments],
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A background job inherits SIGINT ignored, and would never hear Ctrl-C.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    @contextmanager
    def serve(self) -> Iterator[tuple[subprocess.Popen[str], str]]:
        """A running server and its address."""
        with self.start("serve", "--listen", "127.0.0.1:0") as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("Serving the registry on 127.0.0.1:"), process.communicate()
            assert line.endswith(f" (data in {self.home / 'server'})\n")
            yield process, line.split()[4]

    def leftovers(self) -> list[str]:
        """What a command that failed left in the data folder, beside an empty database."""
        server = self.home / "server"
        kept = {"registry.db", "registry.db-wal", "registry.db-shm", "registry.db.lock"}
        files = (path for path in server.rglob("*") if path.is_file())
        rest = [str(path.relative_to(server)) for path in files if path.name not in kept]
        work = server / "work"
        return rest + [str(path) for path in (work.iterdir() if work.is_dir() else ())]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path / "home")


@pytest.fixture
def versions(shell: Shell, tmp_path: Path) -> list[VersionRow]:
    return fill_home(shell.home, tmp_path / "artifacts")


@contextmanager
def taken_port(*, listening: bool) -> Iterator[str]:
    """A loopback address that nobody else can take; nothing answers there unless `listening`."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        if listening:
            taken.listen()
        yield f"127.0.0.1:{taken.getsockname()[1]}"


@pytest.mark.parametrize(
    "arguments", [("--help",), ("publish", "--help"), ("alias", "set", "--help"), ("--version",)]
)
def test_help_loads_nothing_heavy(arguments: tuple[str, ...]) -> None:
    script = (
        "import sys\nfrom rsq_server.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit as e:\n    assert e.code == 0\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True
    )
    loaded = set(done.stderr.split())
    assert "rsq_server.cli.main" in loaded
    assert not loaded & HEAVY


def test_local_and_served_answers_are_the_same(shell: Shell, versions: list[VersionRow]) -> None:
    questions = (("models",), ("show", "tiny"), ("alias", "list", "tiny"), ("nodes",))
    local = [shell.json(*question) for question in questions]
    with shell.serve() as (_, address):
        elsewhere = Shell(shell.home / "elsewhere")
        served = [elsewhere.json(*question, "--server", address) for question in questions]
    assert served == local
    assert local[1]["version"] == versions[0].version
    assert not elsewhere.home.exists()


def test_a_running_server_sees_what_others_publish_and_which_alias_they_move(
    shell: Shell, versions: list[VersionRow], tmp_path: Path
) -> None:
    with shell.serve() as (_, address):
        with open_stores(ServerConfig(shell.home / "server")) as stores:
            added = store_version(stores, tmp_path / "third", seed=3)
        assert shell.json("show", "tiny:3", "--server", address)["version"] == added.version
        shell.json("alias", "set", "tiny", "production", "3")
        assert shell.json("show", "tiny", "--server", address)["version"] == 3
        shell.json("alias", "set", "tiny", "production", "2", "--server", address)
    assert shell.json("show", "tiny")["version"] == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_cleanly(shell: Shell, number: signal.Signals) -> None:
    with shell.serve() as (process, address):
        process.send_signal(number)
        out, err = process.communicate(timeout=TIMEOUT_S)
        assert (process.returncode, out) == (0, "")
        assert [line.split(" ", 1)[1] for line in err.splitlines()] == [
            f"INFO rsq.server listening on {address}",
            "INFO rsq.server stopping",
        ]
        assert shell.run("models", "--server", address).returncode == 8


def test_a_port_in_use_is_13_and_the_one_who_has_it_keeps_answering(shell: Shell) -> None:
    with shell.serve() as (_, address):
        second = shell.run("serve", "--listen", address)
        assert (second.returncode, second.stdout) == (13, "")
        assert second.stderr.count("\n") == 1
        assert address in second.stderr
        assert shell.json("models", "--server", address) == {"models": []}


def test_a_port_of_another_program_is_13(shell: Shell) -> None:
    with taken_port(listening=True) as address:
        assert shell.run("serve", "--listen", address).returncode == 13


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "example.org:7100"])
def test_a_bind_beyond_loopback_is_refused_and_says_what_to_do(shell: Shell, listen: str) -> None:
    done = shell.run("serve", "--listen", listen)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--insecure" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("listen", ["7100", "127.0.0.1", "127.0.0.1:99999", "127.0.0.1:x"])
def test_an_address_that_is_none_is_bad_input(shell: Shell, listen: str) -> None:
    done = shell.run("serve", "--listen", listen)
    assert done.returncode == 2
    assert "HOST:PORT" in done.stderr


def test_a_server_that_isnt_there_is_8(shell: Shell) -> None:
    with taken_port(listening=False) as address:
        plain = shell.run("show", "tiny", "--server", address)
        error = shell.run("show", "tiny", "--server", address, "--json")
    assert (plain.returncode, plain.stdout, plain.stderr.count("\n")) == (8, "", 1)
    assert address in plain.stderr
    assert json.loads(error.stdout)["error"]["code"] == "UNREACHABLE"


@pytest.mark.parametrize("reference", ["other", "tiny:9", "tiny@staging"])
def test_an_unknown_reference_is_3_here_and_over_the_wire_with_the_same_sentence(
    shell: Shell, versions: list[VersionRow], reference: str
) -> None:
    local = shell.run("show", reference)
    with shell.serve() as (_, address):
        served = shell.run("show", reference, "--server", address)
    assert (local.returncode, served.returncode) == (3, 3)
    assert local.stderr == served.stderr
    assert local.stderr.count("\n") == 1


def test_an_unusable_name_is_2(shell: Shell, versions: list[VersionRow]) -> None:
    done = shell.run("show", "no/such name")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


@pytest.mark.parametrize(
    ("config", "weights"),
    [
        pytest.param({"model_type": "siglip"}, None, id="without weights"),
        pytest.param({"model_type": "llama"}, b"\x02\0\0\0\0\0\0\0{}", id="unsupported type"),
    ],
)
def test_a_folder_that_is_no_checkpoint_is_2_and_publishes_nothing(
    shell: Shell, tmp_path: Path, config: dict[str, str], weights: bytes | None
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "config.json").write_text(json.dumps(config))
    if weights is not None:
        (source / "model.safetensors").write_bytes(weights)
    done = shell.run("publish", str(source), "--name", "tiny", "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["code"] == "BAD_SOURCE"
    assert "Traceback" not in done.stderr
    assert shell.json("models") == {"models": []}
    assert shell.leftovers() == []


@dataclass(frozen=True)
class Input:
    """Arguments of `publish`: a tiny checkpoint, and a few images so that evaluating is quick."""

    source: str
    evaluation: str


@pytest.fixture
def given(tmp_path: Path) -> Input:
    from checkpoints import write_siglip_checkpoint

    images = tmp_path / "images"
    images.mkdir()
    lines = []
    for number in range(8):
        name = f"{number}.png"
        (images / name).write_bytes(encode_image((30 * number, 255 - 30 * number, 128)))
        captions = [f"a satellite image of port {number}"]
        lines.append({"image": name, "split": "test", "label": "port", "captions": captions})
    (images / "captions.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    return Input(str(write_siglip_checkpoint(tmp_path / "source")), str(images))


@pytest.mark.slow
def test_a_published_checkpoint_prints_what_show_prints(shell: Shell, given: Input) -> None:
    publish = ("publish", given.source, "--name", "tiny", "--evaluation", given.evaluation)
    first = shell.run(*publish, "--variants", "fp32, int8", "--alias", "production")
    assert first.returncode == 0, first.stderr
    assert [line.split(":")[0] for line in first.stderr.splitlines()] == [
        f"Step {number}" for number in range(1, 10)
    ]
    assert first.stdout.startswith(shell.run("show", "tiny").stdout)

    second = shell.json(*publish, "--variants", "fp32")
    assert second.pop("bytes_stored") == 0
    assert second.pop("bytes_reused") > 0
    assert (second.pop("refused"), second.pop("notes")) == ({}, [])
    assert second == shell.json("show", "tiny:2")
    assert second["artifacts"][0]["evaluation"]["dataset"] == "images"
    assert shell.json("show", "tiny")["version"] == 1  # production stays where it was put


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "step"), [(signal.SIGTERM, "Step 3"), (signal.SIGINT, "Step 7")]
)
def test_an_interrupted_publish_leaves_nothing(
    shell: Shell, given: Input, number: signal.Signals, step: str
) -> None:
    options = ("--name", "tiny", "--variants", "fp32", "--evaluation", given.evaluation)
    with shell.start("publish", given.source, *options) as process:
        assert process.stderr is not None
        reached = any(line.startswith(step) for line in process.stderr)
        assert reached
        process.send_signal(number)
        out, err = process.communicate(timeout=TIMEOUT_S)
        assert (process.returncode, out) == (130, ""), err
        assert err.count("\n") == 1
    assert shell.json("models") == {"models": []}
    assert shell.leftovers() == []
