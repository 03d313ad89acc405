"""`rsq-agent tuf` as the public conformance suite calls a client: over HTTP, by exit codes, and
with unversioned files in the metadata folder."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tuf.api.metadata import TargetFile
from update_repository import UpdateRepository

from rsq.cli import run_cli
from rsq.updates.names import parse_name
from rsq_agent.cli.main import app

CONTENT = b"what was asked for"


@dataclass
class Place:
    repository: UpdateRepository
    url: str
    folder: Path
    requests: list[str] = field(default_factory=list)

    def run(self, *arguments: str) -> int:
        words = ["tuf", "--metadata-dir", str(self.folder / "metadata"), *arguments]
        return run_cli(lambda: app(words, standalone_mode=False), json_errors=False)

    def init(self) -> int:
        root = self.folder / "initial_root.json"
        root.write_bytes(self.repository.first_root())
        return self.run("init", str(root))

    def refresh(self) -> int:
        return self.run("--metadata-url", f"{self.url}/metadata", "refresh")

    def download(self, name: str) -> int:
        return self.run(
            *("--metadata-url", f"{self.url}/metadata"),
            *("--target-name", name),
            *("--target-base-url", f"{self.url}/targets"),
            *("--target-dir", str(self.folder / "targets")),
            "download",
        )

    def version(self, role: str) -> int:
        data = (self.folder / "metadata" / f"{role}.json").read_bytes()
        version = json.loads(data)["signed"]["version"]
        assert isinstance(version, int)
        return version


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    repository = UpdateRepository()
    place = Place(repository, "", tmp_path)
    (tmp_path / "metadata").mkdir()
    (tmp_path / "targets").mkdir()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            kind, _, name = self.path.removeprefix("/").partition("/")
            place.requests.append(self.path)
            data = CONTENT if kind == "targets" else repository.files.get(parse_name(name))
            self.send_response(404 if data is None else 200)
            self.send_header("Content-Length", str(len(data or b"")))
            self.end_headers()
            self.wfile.write(data or b"")

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        place.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield place
        server.shutdown()
        thread.join()


def test_init_asks_nobody(place: Place) -> None:
    assert place.init() == 0
    assert place.requests == []
    assert place.version("root") == 1
    assert place.run("init", str(place.folder / "missing.json")) == 1


def test_refresh_keeps_what_is_trusted_under_unversioned_names(place: Place) -> None:
    place.init()
    place.repository.rotate("root")
    assert place.refresh() == 0
    assert {role: place.version(role) for role in ("root", "timestamp", "snapshot", "targets")} == {
        "root": 2,
        "timestamp": 2,
        "snapshot": 2,
        "targets": 2,
    }


def test_a_refused_refresh_exits_with_one_and_keeps_what_was_trusted(place: Place) -> None:
    place.init()
    place.refresh()
    place.repository.timestamp.expires = place.repository.now - timedelta(days=1)
    place.repository.publish_timestamp()
    assert place.refresh() == 1
    assert place.version("snapshot") == 2


def test_a_target_is_downloaded_once(place: Place) -> None:
    digest = hashlib.sha256(CONTENT).hexdigest()
    target = TargetFile(len(CONTENT), {"sha256": digest}, "path/to/x.txt")
    place.repository.targets.targets["path/to/x.txt"] = target
    place.repository.publish()
    place.init()
    assert place.download("path/to/x.txt") == 0
    (stored,) = (place.folder / "targets").iterdir()
    assert stored.read_bytes() == CONTENT
    assert place.download("path/to/x.txt") == 0
    assert place.requests.count(f"/targets/path/to/{digest}.x.txt") == 1
    assert place.download("unknown.txt") == 1


def test_other_bytes_than_the_signed_ones_are_not_stored(place: Place) -> None:
    target = TargetFile(len(CONTENT), {"sha256": "0" * 64}, "x.txt")
    place.repository.targets.targets["x.txt"] = target
    place.repository.publish()
    place.init()
    assert place.download("x.txt") == 1
    assert list((place.folder / "targets").iterdir()) == []
