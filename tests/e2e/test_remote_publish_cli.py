"""Publishing to a server in another process, which may be killed while bytes arrive."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from checkpoints import write_siglip_checkpoint
from tiny_artifacts import encode_image

from rsq.chunks import MAX_CALL_BYTES, MESSAGE_BYTES
from rsq.digest import digest_bytes
from rsq.rpc.publishing import PublishingClient
from rsq_registry.blobs import BlobStore

COMMAND = str(Path(sys.executable).with_name("rsq-server"))
TIMEOUT_S = 200.0  # a hang, not slowness
LARGE = bytes(range(256)) * 160_000  # 41 MB: three calls


def _environment(home: Path) -> dict[str, str]:
    return {**os.environ, "RSQ_HOME": str(home), "OMP_NUM_THREADS": "1"}


def _run(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *arguments],
        env=_environment(home),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


@contextmanager
def _serve(home: Path, listen: str = "127.0.0.1:0") -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running server and its address; killed at the end."""
    with subprocess.Popen(
        [COMMAND, "serve", "--listen", listen],
        env=_environment(home),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("Serving the registry on 127.0.0.1:")
            yield process, line.split()[4]
        finally:
            process.kill()


def test_an_upload_goes_on_after_the_server_was_killed(tmp_path: Path) -> None:
    offsets: list[int] = []
    with _serve(tmp_path) as (first, address), ExitStack() as second:

        def start_second() -> None:
            first.wait()
            second.enter_context(_serve(tmp_path, address))

        def read_from(offset: int) -> Iterator[bytes]:
            offsets.append(offset)
            for start in range(offset, len(LARGE), MESSAGE_BYTES):
                if start > MAX_CALL_BYTES + 10 * MESSAGE_BYTES:
                    first.kill()
                yield LARGE[start : start + MESSAGE_BYTES]

        starter = threading.Thread(target=start_second)
        starter.start()
        with PublishingClient(address) as client:
            client.upload(digest_bytes(LARGE), len(LARGE), read_from)
        starter.join()
        assert BlobStore(tmp_path / "server" / "blobs").has(digest_bytes(LARGE))
    # The second server was sent no byte that the first had been.
    assert offsets[-1] >= MAX_CALL_BYTES
    assert 0 not in offsets[1:]


@pytest.mark.parametrize(
    ("address", "code", "message"),
    [("127.0.0.1:9", 8, "Nothing answers at 127.0.0.1:9"), ("nowhere", 2, "is not HOST:PORT")],
)
def test_a_server_that_is_not_there_is_said_before_anything_is_built(
    tmp_path: Path, address: str, code: int, message: str
) -> None:
    done = _run(tmp_path, "publish", "demo", "--name", "demo", "--server", address)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1)
    assert message in done.stderr
    assert not (tmp_path / "server").exists()


@pytest.mark.slow
def test_a_checkpoint_is_built_here_and_stored_there(tmp_path: Path) -> None:
    source, images = write_siglip_checkpoint(tmp_path / "source"), tmp_path / "images"
    images.mkdir()
    for number in range(8):
        (images / f"{number}.png").write_bytes(encode_image((30 * number, 255, 128)))
    here, there = tmp_path / "here", tmp_path / "there"
    with _serve(there) as (_, address):
        publish = ("publish", str(source), "--name", "tiny", "--variants", "fp32", "--json")
        publish += ("--evaluation", str(images), "--server", address)
        first, second = (_run(here, *publish, "--alias", name) for name in ("staging", "newest"))
        shown = [_run(here, "show", f"tiny:{n}", "--server", address, "--json") for n in (1, 2)]
    for done in (first, second, *shown):
        assert done.returncode == 0, done.stderr
    assert [line.split(":")[0] for line in first.stderr.splitlines()] == [
        f"Step {number}" for number in range(1, 10)
    ]
    built = [json.loads(done.stdout) for done in (first, second)]
    stored = [fields.pop("bytes_stored") for fields in built]
    reused = [fields.pop("bytes_reused") for fields in built]
    assert (stored[1], reused[0]) == (0, 0)
    assert reused[1] == stored[0] > 0
    for fields in built:
        assert (fields.pop("refused"), fields.pop("notes")) == ({}, [])
    assert built[1] == json.loads(shown[1].stdout)
    assert [fields["version"] for fields in built] == [1, 2]
    # Nothing is kept on the publisher's side, and nothing half there on the other.
    assert [p for p in here.rglob("*") if p.is_file()] == []
    assert [p for p in (there / "server" / "uploads").iterdir() if p.suffix != ".lock"] == []
    verified = _run(there, "verify", "--json")
    assert json.loads(verified.stdout)["clean"]
