"""A node under everything at once, for as long as told: pulls over a link that cuts, resets, slows
and damages, swaps, searches and embeddings, pullers and the server killed, files of the node
changed, broken requests. Counts answers that are wrong or missing and follows the agent's memory.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from base_towers import cpu_name
from checked_calls import SEED, TOLERANCE, Checked, fit_line
from programs import COMMANDS, Programs

from rsq.client import Client
from rsq.encoder import Encoder
from rsq.errors import BadInput, RsqError
from rsq.manifest import TOWERS
from rsq.retrieval import IndexItem
from rsq.rpc import agent as agent_rpc
from rsq_agent.cache import Cache
from rsq_agent.state import load_state
from rsq_server.app import open_stores
from rsq_server.config import ServerConfig

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / "tests"))

from faulty_proxy import Fault, Proxy, run_proxy  # noqa: E402
from tiny_artifacts import TinyArtifact, build_artifact  # noqa: E402
from tiny_registry import store_version  # noqa: E402

MODEL = "tiny"
VERSIONS = 2
# Of the vision weights, so that a pull takes a while.
PADDING = {"padding_bytes": 3_000_000, "chunk_bytes": 1 << 16}
CLIENTS = 2
PAUSE_SECONDS = 0.005  # between two calls of a client: a load, not a siege
HITS = 10
TRIES = 3  # of a pull, the later ones over a good link
TROUBLES = ("none", "bad link", "killed puller", "killed server", "changed file", "bad requests")
BROKEN = (b"", b"no image", b"\xff\xd8\xff\xe0" + bytes(64), b"GIF89a" + b"\xff" * 8)


class Soak:
    """One registry, one agent, and what is done to them."""

    def __init__(self, programs: Programs, artifacts: list[TinyArtifact], proxy: Proxy) -> None:
        self._programs = programs
        self._proxy = proxy
        self._random = random.Random(SEED)
        self.checked = Checked(programs.agent, artifacts)
        self._towers: dict[str, list[Encoder]] = {tower: [] for tower in TOWERS}
        for artifact in artifacts:
            self._towers[artifact.manifest.tower].append(
                Encoder(artifact.folder, artifact.manifest)
            )
        self._expected = self._search_by_hand()
        self._client = Client(programs.agent)
        self._stop = threading.Event()
        self.troubles: Counter[str] = Counter()
        self.pulls: Counter[str] = Counter()
        self.searches = self.wrong_searches = self.accepted_broken = 0
        self.resident_bytes: list[int] = []
        self._server: subprocess.Popen[bytes] | None = None

    # the load

    def index(self) -> None:
        """Version 1 makes the collection."""
        items = [IndexItem(f"/scenes/{i}", image) for i, image in enumerate(self.checked.images)]
        for outcome in self._client.index(items):
            if outcome.error is not None:
                raise outcome.error

    def call_until_stopped(self, number: int) -> None:
        while not self._stop.is_set():
            self.checked.call(number)
            if number % 5 == 0:
                self._search(number % len(self.checked.texts))
            number += CLIENTS
            time.sleep(PAUSE_SECONDS)

    def _search(self, place: int) -> None:
        try:
            hits = self._client.search(text=self.checked.texts[place], k=HITS)
        except RsqError as e:
            self.checked.failures.append(f"search: {e}")
            return
        scores = np.array([hit.score for hit in hits])
        self.searches += 1
        # By whichever version answered: a search does not name it.
        self.wrong_searches += not any(
            len(scores) == HITS and np.abs(scores - rows[place]).max() < TOLERANCE
            for rows in self._expected
        )

    def _search_by_hand(self) -> list[Any]:
        """Scores of the best hits of each text, [texts, HITS], by each version's text tower."""
        stored = self._towers["vision"][0].embed_images(self.checked.images)
        found = []
        for encoder in self._towers["text"]:
            cosines = encoder.embed_texts(self.checked.texts) @ stored.T
            found.append(-np.sort(-cosines, axis=1)[:, :HITS])
        return found

    # the trouble

    def cycle(self, number: int) -> None:
        """Pulls the other version, with one kind of trouble, and sees that it serves."""
        wanted = number % VERSIONS + 1
        trouble = TROUBLES[number % len(TROUBLES)]
        self.troubles[trouble] += 1
        bad_link = trouble == "bad link"
        self._proxy.choose = self._harm if bad_link else lambda connection: Fault()
        if trouble == "changed file":
            self._change_file()
        if trouble == "bad requests":
            self._send_broken()
        if trouble == "killed puller":
            self._start_pull(wanted, kill_after=self._random.uniform(0.2, 2.5))
        if trouble == "killed server":
            puller = threading.Thread(target=self._start_pull, args=(wanted,))
            puller.start()
            time.sleep(self._random.uniform(0.2, 1.5))
            self.kill_server()
            time.sleep(0.5)
            self.start_server()
            puller.join()
        for _ in range(TRIES):
            code = self._start_pull(wanted)
            self.pulls[f"exit {code}"] += 1
            if code == 0:
                break
            self._proxy.choose = lambda connection: Fault()
        else:
            raise RuntimeError(f"after {trouble!r} a pull failed {TRIES} times")
        status = agent_rpc.read_status(self._programs.agent)
        self.resident_bytes.append(status.resident_bytes)

    def _harm(self, connection: int) -> Fault:
        at = self._random.randrange(200_000)
        kind = self._random.randrange(4)
        if kind == 0:
            return Fault(cut_at=at)
        if kind == 1:
            return Fault(reset_at=at)
        if kind == 2:
            return Fault(flip_at=at)
        return Fault(bytes_per_second=2_000_000)

    def _start_pull(self, version: int, kill_after: float | None = None) -> int:
        """The exit code of a pull through the proxy."""
        process = subprocess.Popen(
            [
                COMMANDS / "rsq-agent", "pull", f"{MODEL}:{version}", "--json",
                "--server", self._proxy.address, "--agent", self._programs.agent,
            ],
            env=self._programs.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            return process.wait(kill_after or 300)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def _change_file(self) -> None:
        """A byte of a file that does not serve now, as a failing disk would."""
        home = self._programs.home / "agent"
        cache = Cache(home)
        active = load_state(cache).activation(MODEL).artifacts
        kept = {entry.sha256 for identity in active for entry in cache.manifest(identity).files}
        others = [p for p in (home / "blobs/sha256").glob("*/*") if p.name not in kept]
        if not others:
            return
        path = self._random.choice(sorted(others))
        at = self._random.randrange(path.stat().st_size)
        path.chmod(0o644)
        with path.open("r+b") as file:
            file.seek(at)
            byte = file.read(1)
            file.seek(at)
            file.write(bytes([byte[0] ^ 1]))

    def _send_broken(self) -> None:
        for data in BROKEN:
            try:
                self._client.embed_image([data])
                self.accepted_broken += 1
            except BadInput:
                continue
        try:
            self._client.embed_text(["\x00" * 10, "a" * 2_000_000])
            self.accepted_broken += 1
        except RsqError:
            pass
        # A caller that goes away in the middle of a stream.
        items = (IndexItem(f"/gone/{i}", b"broken") for i in range(1000))
        next(self._client.index(items))

    # the server

    def start_server(self) -> None:
        self._server = subprocess.Popen(
            [COMMANDS / "rsq-server", "serve", "--listen", self._programs.server],
            env=self._programs.environment,
            stdout=subprocess.PIPE,
        )
        assert self._server.stdout is not None
        self._server.stdout.readline()

    def close(self) -> None:
        self.checked.close()
        self._client.close()
        self.kill_server()

    def kill_server(self) -> None:
        if self._server is not None:
            self._server.send_signal(signal.SIGKILL)
            self._server.wait()
            assert self._server.stdout is not None
            self._server.stdout.close()

    @contextmanager
    def load(self) -> Iterator[None]:
        with ThreadPoolExecutor(CLIENTS) as pool:
            futures = [pool.submit(self.call_until_stopped, number) for number in range(CLIENTS)]
            try:
                yield
            finally:
                self._stop.set()
            for future in futures:
                future.result()


def run(folder: Path, *, seconds: float, cycles: int = 0) -> dict[str, Any]:
    """At least so long, and at least so many cycles."""
    programs = Programs(folder / "home")
    with open_stores(ServerConfig(programs.home / "server")) as stores:
        for version in range(1, VERSIONS + 1):
            store_version(stores, folder / str(version), seed=version, **PADDING)
    # The same once more, to know what each answers.
    artifacts = [
        build_artifact(
            folder / f"{tower}-{version}", tower, seed=version, **(PADDING if at == 0 else {})
        )
        for version in range(1, VERSIONS + 1)
        for at, tower in enumerate(TOWERS)
    ]
    with ExitStack() as stack:
        proxy = stack.enter_context(run_proxy(programs.server, lambda connection: Fault()))
        soak = Soak(programs, artifacts, proxy)
        soak.start_server()
        stack.callback(soak.close)
        programs.pull(f"{MODEL}:1")
        stack.enter_context(programs.serve_agent("--log-level", "error"))
        soak.index()
        done = 0
        ends = time.monotonic() + seconds
        with soak.load():
            while time.monotonic() < ends or done < cycles:
                done += 1
                soak.cycle(done)
    result = {
        "seconds": seconds,
        "cycles": done,
        "troubles": dict(soak.troubles),
        "pulls": dict(soak.pulls),
        "embeddings": sum(soak.checked.replies.values()),
        "searches": soak.searches,
        "failed": len(soak.checked.failures),
        "failures": soak.checked.failures[:5],
        "wrong": soak.checked.wrong + soak.wrong_searches + soak.accepted_broken,
        "resident_bytes": soak.resident_bytes,
    }
    if done >= 8:
        result["memory"] = fit_line(soak.resident_bytes, done // 4)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "bench/results/soak.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rsq-soak-") as name:
        found = run(Path(name), seconds=options.seconds)
    print(
        f"{found['cycles']} cycles, pulls {found['pulls']}: {found['embeddings']} embeddings and "
        f"{found['searches']} searches, {found['failed']} failed, {found['wrong']} wrong"
    )
    if memory := found.get("memory"):
        print(
            f"memory: {memory['bytes_per_cycle']:+.0f} bytes a cycle "
            f"(standard error {memory['standard_error_bytes']:.0f})"
        )
    result = {"device": cpu_name(), "cores": len(os.sched_getaffinity(0)), **found}
    options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
