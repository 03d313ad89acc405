"""What TLS, tokens and signatures cost: a pull and an embedding, secured and in the open, in turns.

The secured side has TLS 1.3 with a P-256 certificate, a token with every call, and for the pull
signed metadata from a pinned root; the other side has loopback and nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from base_towers import cpu_name
from fetch_program import __file__ as fetch_program
from programs import Programs
from stored_version import MODEL, fill_registry

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / "tests"))

from certificates import Authority, Issued  # noqa: E402
from tiny_artifacts import encode_image  # noqa: E402

from rsq.client import Client  # noqa: E402
from rsq.rpc.endpoint import Endpoint  # noqa: E402
from rsq.tls import ClientTls  # noqa: E402

OPEN, UNSIGNED, SECURED = "open", "TLS and token", "TLS, token and signatures"
# On loopback both ends share the cores, so that every byte's encryption shows.
SPEEDS = {"as fast as loopback goes": None, "at 1 Gbit/s": 117_000_000}
MAX_PULL_RATIO = 1.15
MAX_EMBED_MS = 1.0
WARM_UP_CALLS = 50


class World:
    """Two servers on one registry and two agents with one model, each pair open and secured."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        self.folder = folder
        home = folder / "home"
        fill_registry(home, folder / "files", size_bytes=megabytes * 10**6)
        authority = Authority(folder)
        self.ca, self.issued = authority.file, authority.issue()
        self.open, self.secured = Programs(home), Programs(home)
        self.node_open, self.node_secured = (
            Programs(folder / "node-open"),
            Programs(folder / "node-secured"),
        )
        self.root = self._sign()
        self.pull_token = self._token(self.open, "rsq-server", "pull")
        self.embed_token = self._token(self.node_secured, "rsq-agent", "embed")

    def start(self, stack: ExitStack) -> None:
        secured = _secured(self.issued)
        stack.enter_context(self.open.serve_registry())
        stack.enter_context(self.secured.serve_registry(*secured))
        for node in (self.node_open, self.node_secured):
            node.run("rsq-agent", "pull", MODEL, "--server", self.open.server)
        stack.enter_context(self.node_open.serve_agent())
        stack.enter_context(self.node_secured.serve_agent(*secured))

    def pull(self, kind: str, bytes_per_second: int | None) -> float:
        """Seconds from the first connection to the last byte on disk."""
        out = self.folder / "out"
        server = self.open.server if kind == OPEN else self.secured.server
        options: list[str | Path] = [server, out]
        if kind != OPEN:
            options += ["--tls-ca", self.ca, "--token-file", self.pull_token]
        if kind == SECURED:
            options += ["--root", self.root]
        if bytes_per_second is not None:
            options += ["--limit", str(bytes_per_second)]
        done = subprocess.run(
            [sys.executable, fetch_program, *options], capture_output=True, text=True, check=True
        )
        shutil.rmtree(out)
        return float(json.loads(done.stdout.splitlines()[-1])["seconds_from_connecting"])

    def client(self, *, secured: bool) -> Client:
        if not secured:
            return Client(self.node_open.agent)
        return Client(Endpoint(self.node_secured.agent, ClientTls(self.ca), self.embed_token))

    def _sign(self) -> Path:
        words = self.folder / "passphrase"
        words.write_text("a passphrase of this benchmark")
        keys = ["--keys", str(self.folder / "keys"), "--passphrase-file", str(words)]
        self.open.run("rsq-server", "trust", "init", *keys)
        self.open.run("rsq-server", "trust", "sign", MODEL, *keys)
        return self.open.home / "server/trust/metadata/1.root.json"

    def _token(self, programs: Programs, program: str, scope: str) -> Path:
        file = self.folder / f"{program}.token"
        programs.run(program, "token", "create", scope, "--scope", scope, "--out", file)
        return file


def _secured(issued: Issued) -> list[str]:
    return [
        "--tls-cert", str(issued.certificate), "--tls-key", str(issued.key), "--require-token",
    ]  # fmt: skip


def run(folder: Path, megabytes: int, rounds: int, calls: int) -> dict[str, Any]:
    world = World(folder, megabytes)
    with ExitStack() as stack:
        world.start(stack)
        pulls = {name: _measure_pulls(world, rounds, limit) for name, limit in SPEEDS.items()}
        embeds = {
            name: _measure_calls(world, calls, prepare)
            for name, prepare in {
                "text": lambda client, number: client.embed_text([f"tile {number}"]),
                "image of 224 pixels": _image_call(),
            }.items()
        }
    return {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "load_average_at_end": os.getloadavg()[0],
        "pull": {"size_bytes": megabytes * 10**6, "rounds": rounds, **pulls},
        "embed": {"calls": calls, **embeds},
    }


def _measure_pulls(world: World, rounds: int, limit: int | None) -> dict[str, Any]:
    seconds: dict[str, list[float]] = {kind: [] for kind in (OPEN, UNSIGNED, SECURED)}
    for turn in range(rounds):
        for kind in sorted(seconds, reverse=turn % 2 == 1):
            seconds[kind].append(world.pull(kind, limit))
    found: dict[str, Any] = {kind: _spread(values) for kind, values in seconds.items()}
    usual = statistics.median(seconds[OPEN])
    found["ratio_of_medians"] = {
        kind: statistics.median(values) / usual for kind, values in seconds.items()
    }
    return found


def _image_call() -> Callable[[Client, int], Any]:
    image = encode_image((90, 120, 60), size=224, kind="JPEG")
    return lambda client, number: client.embed_image([image])


def _measure_calls(world: World, calls: int, call: Callable[[Client, int], Any]) -> dict[str, Any]:
    """One call at a time, in turns over two connections that stay open."""
    milliseconds: dict[bool, list[float]] = {False: [], True: []}
    with world.client(secured=False) as plain, world.client(secured=True) as secured:
        for number in range(WARM_UP_CALLS + calls):
            for side, client in ((False, plain), (True, secured)):
                begun = time.perf_counter()
                call(client, number)
                if number >= WARM_UP_CALLS:
                    milliseconds[side].append((time.perf_counter() - begun) * 1000)
    added = np.subtract(milliseconds[True], milliseconds[False])
    return {
        "open_ms": _percentiles(milliseconds[False]),
        "secured_ms": _percentiles(milliseconds[True]),
        "added_ms_median_of_pairs": float(np.median(added)),
        "added_ms_between_medians": float(
            np.median(milliseconds[True]) - np.median(milliseconds[False])
        ),
    }


def _percentiles(values: list[float]) -> dict[str, float]:
    return {f"p{share}": float(np.percentile(values, share)) for share in (50, 95, 99)}


def _spread(values: list[float]) -> dict[str, float]:
    return {
        "median": statistics.median(values),
        "smallest": min(values),
        "largest": max(values),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "bench/results/security.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = run(Path(folder), options.megabytes, options.rounds, options.calls)
    options.out.write_text(json.dumps(found, indent=2) + "\n")
    for name in SPEEDS:
        pull = found["pull"][name]
        rows = (
            f"{kind} {pull[kind]['median']:.2f} s ({ratio:.3f}x)"
            for kind, ratio in pull["ratio_of_medians"].items()
        )
        print(f"pull of {options.megabytes} MB, {name}: {', '.join(rows)}; bar {MAX_PULL_RATIO}x")
    for name in ("text", "image of 224 pixels"):
        row = found["embed"][name]
        print(
            f"embed a {name}: p50 {row['open_ms']['p50']:.2f} ms in the open, "
            f"{row['secured_ms']['p50']:.2f} ms secured: "
            f"{row['added_ms_median_of_pairs']:+.3f} ms (bar {MAX_EMBED_MS} ms)"
        )


if __name__ == "__main__":
    main()
