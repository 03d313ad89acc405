"""A pull over loopback against what people use instead, interleaved, same bytes, fresh each time:

- `rsq-server serve` and a pull, with every chunk and the whole file hashed;
- nginx and curl, then sha256sum of the file;
- a docker registry and `skopeo copy` of the same bytes.

nginx-light, curl, skopeo and docker-registry come from Debian (`apt-get install`); what is missing
is left out and named. Then one pull of 3 GB, for the memory it takes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from base_towers import cpu_name
from programs import Programs, free_port
from stored_version import fill_registry

REPOSITORY = Path(__file__).resolve().parent.parent
FETCH = Path(__file__).with_name("fetch_program.py")
READY_SECONDS = 20.0


def run(folder: Path, megabytes: int, rounds: int, large_megabytes: int) -> dict[str, Any]:
    size_bytes = megabytes * 10**6
    programs = Programs(folder / "home")
    weights = fill_registry(programs.home, folder / "files", size_bytes=size_bytes)
    blob = programs.home / "server/blobs/sha256" / weights.sha256[:2] / weights.sha256
    missing: list[str] = []
    seconds: dict[str, list[float]] = {}
    peaks: list[int] = []
    with ExitStack() as stack:
        stack.enter_context(programs.serve_registry())
        contestants: dict[str, Callable[[Path], None]] = {
            "rsq": lambda out: peaks.append(_pull(programs.server, out))
        }
        if shutil.which("nginx") and shutil.which("curl"):
            url = stack.enter_context(_serve_nginx(folder / "nginx", blob))
            contestants["nginx, curl, sha256sum"] = lambda out: _curl(url, out, weights.sha256)
        else:
            missing.append("nginx-light, curl")
        if shutil.which("skopeo") and shutil.which("docker-registry"):
            image = stack.enter_context(_serve_docker_registry(folder / "docker", blob))
            contestants["docker-registry, skopeo copy"] = lambda out: _skopeo(image, f"dir:{out}")
        else:
            missing.append("skopeo, docker-registry")
        for turn in range(rounds):
            for name, fetch in contestants.items():
                out = folder / f"out-{turn}"
                begun = time.perf_counter()
                fetch(out)
                seconds.setdefault(name, []).append(time.perf_counter() - begun)
                shutil.rmtree(out)
    own = statistics.median(seconds["rsq"])
    found: dict[str, Any] = {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "size_bytes": size_bytes,
        "rounds": rounds,
        "missing": missing,
        "load_average_at_end": os.getloadavg()[0],
        "contestants": {
            name: {
                "seconds": statistics.median(values),
                "seconds_spread": [min(values), max(values)],
                "rsq_is_times_as_fast": statistics.median(values) / own,
            }
            for name, values in seconds.items()
        },
        "agent_peak_bytes": max(peaks),
    }
    if large_megabytes:
        found["large"] = _pull_large(folder / "large", large_megabytes * 10**6)
    return found


def _pull(server: str, out: Path, *options: str) -> int:
    """Returns the peak memory of the puller in bytes."""
    done = subprocess.run(
        [sys.executable, FETCH, server, out, *options], capture_output=True, text=True, check=True
    )
    return int(json.loads(done.stdout.splitlines()[-1])["peak_bytes"])


def _pull_large(folder: Path, size_bytes: int) -> dict[str, Any]:
    programs = Programs(folder / "home")
    weights = fill_registry(programs.home, folder / "files", size_bytes=size_bytes)
    shutil.rmtree(folder / "files")
    with programs.serve_registry():
        begun = time.perf_counter()
        peak_bytes = _pull(programs.server, folder / "out")
        seconds = time.perf_counter() - begun
    path = folder / "out/blobs/sha256" / weights.sha256[:2] / weights.sha256
    assert path.stat().st_size == weights.size_bytes
    return {"size_bytes": size_bytes, "seconds": seconds, "agent_peak_bytes": peak_bytes}


def _curl(url: str, out: Path, digest: str) -> None:
    out.mkdir()
    subprocess.run(["curl", "--silent", "--fail", "-o", out / "file", url], check=True)
    done = subprocess.run(["sha256sum", out / "file"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(digest)


def _skopeo(source: str, target: str) -> None:
    subprocess.run(
        [
            "skopeo", "copy", "--quiet", "--insecure-policy", "--src-tls-verify=false",
            "--dest-tls-verify=false", source, target,
        ],
        check=True,
    )  # fmt: skip


@contextmanager
def _serve_nginx(folder: Path, blob: Path) -> Iterator[str]:
    (folder / "www").mkdir(parents=True)
    os.link(blob, folder / "www" / "file")
    port = free_port()
    (folder / "nginx.conf").write_text(
        f"daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr;\n"
        "events {}\n"
        "http { access_log off; sendfile on;\n"
        f"  server {{ listen 127.0.0.1:{port}; root {folder}/www; }}\n}}\n"
    )
    # nginx's workers are another user when it is started as root.
    for path in (folder, *folder.parents[:1], folder / "www"):
        path.chmod(0o755)
    (folder / "www" / "file").chmod(0o444)
    command = ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-g", "user root;"]
    with _running(command, f"http://127.0.0.1:{port}/file"):
        yield f"http://127.0.0.1:{port}/file"


@contextmanager
def _serve_docker_registry(folder: Path, blob: Path) -> Iterator[str]:
    """The name of an image whose one layer is `blob`, in a registry of its own."""
    folder.mkdir()
    port = free_port()
    (folder / "config.yml").write_text(
        "version: 0.1\nlog: {level: error}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder}/data}}}}\n"
        f"http: {{addr: 127.0.0.1:{port}}}\n"
    )
    image = f"docker://127.0.0.1:{port}/weights:1"
    command = ["docker-registry", "serve", str(folder / "config.yml")]
    with _running(command, f"http://127.0.0.1:{port}/v2/"):
        _write_layout(folder / "layout", blob)
        _skopeo(f"oci:{folder}/layout:1", image)
        yield image


def _write_layout(folder: Path, blob: Path) -> None:
    """An OCI image layout whose one layer is `blob`."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    os.link(blob, blobs / blob.name)

    def store(value: object) -> dict[str, Any]:
        data = json.dumps(value).encode()
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"digest": f"sha256:{digest}", "size": len(data)}

    config = store(
        {
            "architecture": "amd64",
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{blob.name}"]},
        }
    )
    manifest = store(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **config},
            "layers": [
                {
                    "mediaType": "application/vnd.oci.image.layer.v1.tar",
                    "digest": f"sha256:{blob.name}",
                    "size": blob.stat().st_size,
                }
            ],
        }
    )
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (folder / "index.json").write_text(
        json.dumps(
            {
                "schemaVersion": 2,
                "manifests": [
                    {
                        "mediaType": "application/vnd.oci.image.manifest.v1+json",
                        **manifest,
                        "annotations": {"org.opencontainers.image.ref.name": "1"},
                    }
                ],
            }
        )
    )


@contextmanager
def _running(command: list[str], url: str) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + READY_SECONDS
        while subprocess.run(["curl", "-sfI", url], capture_output=True).returncode != 0:
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{command[0]} did not start")
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=800)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--large", type=int, default=3000, help="megabytes of the large file")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "bench/results/transfer.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        found = run(Path(name), options.megabytes, options.rounds, options.large)
    for name, row in found["contestants"].items():
        low, high = row["seconds_spread"]
        print(
            f"{name:30s} {row['seconds']:6.2f} s ({low:.2f} to {high:.2f}), "
            f"rsq is {row['rsq_is_times_as_fast']:.2f} times as fast"
        )
    print(f"memory of the puller: {found['agent_peak_bytes'] / 1e6:.0f} MB")
    if "large" in found:
        large = found["large"]
        print(
            f"{large['size_bytes'] / 1e9:.1f} GB in {large['seconds']:.1f} s, "
            f"memory {large['agent_peak_bytes'] / 1e6:.0f} MB"
        )
    for name in found["missing"]:
        print(f"left out: apt-get install {name.replace(',', '')}")
    options.out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
