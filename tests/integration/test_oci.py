"""A version on its way through a real OCI registry: skopeo copies it there and back."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_registry import fill_home

from rsq_server.app import open_stores
from rsq_server.bundles import import_version, prepare_export
from rsq_server.config import ServerConfig
from rsq_server.oci_layout import write_layout
from rsq_server.oci_reader import read_layout

TOOLS = ("skopeo", "docker-registry")
MISSING = [tool for tool in TOOLS if shutil.which(tool) is None]
TIMEOUT_S = 60.0  # a hang, not slowness

pytestmark = pytest.mark.skipif(
    bool(MISSING), reason=f"no {' and no '.join(MISSING)}; apt-get install {' '.join(TOOLS)}"
)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """The address of an OCI registry of its own, on a port that the system chose."""
    config = {
        "version": "0.1",
        "storage": {"filesystem": {"rootdirectory": str(tmp_path / "oci-registry")}},
        "http": {"addr": "127.0.0.1:0", "secret": "of this test"},  # pragma: allowlist secret
    }
    (tmp_path / "registry.yml").write_text(json.dumps(config))  # JSON is YAML
    log = tmp_path / "registry.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["docker-registry", "serve", str(tmp_path / "registry.yml")],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield _wait_for_address(log)
    finally:
        process.kill()
        process.wait()


def _wait_for_address(log: Path) -> str:
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        found = re.search(r"listening on (127\.0\.0\.1:\d+)", log.read_text())
        if found:
            return found.group(1)
        time.sleep(0.05)
    raise AssertionError(log.read_text())


def copy(*arguments: str) -> None:
    done = subprocess.run(
        ["skopeo", "--insecure-policy", "copy", *arguments],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def manifest_digest(layout: Path) -> str:
    (image,) = json.loads((layout / "index.json").read_bytes())["manifests"]
    return str(image["digest"])


def test_a_registry_gives_back_the_same_image_and_so_the_same_ids(
    registry: str, tmp_path: Path
) -> None:
    version, _ = fill_home(tmp_path / "home", tmp_path / "artifacts")
    sent, received = tmp_path / "sent", tmp_path / "received"
    with open_stores(ServerConfig(tmp_path / "home" / "server")) as stores:
        write_layout(sent, prepare_export(version), stores.blobs)
    image = f"docker://{registry}/models/tiny:1"
    copy("--dest-tls-verify=false", f"oci:{sent}:tiny-1", image)
    copy("--src-tls-verify=false", image, f"oci:{received}:anything")

    assert manifest_digest(received) == manifest_digest(sent)
    with open_stores(ServerConfig(tmp_path / "other")) as stores:
        (source,) = read_layout(received)
        imported = import_version(source, stores, by="tests")
        assert imported.is_new
        assert imported.version.space_id == version.space_id
        assert imported.version.artifacts == version.artifacts
        assert imported.version.pairs == version.pairs
        for digest in stores.blobs.digests():
            stores.blobs.verify(digest)
