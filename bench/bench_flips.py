"""2,000 single-bit flips: half in flight, a quarter in complete files on the node, a quarter in
files that were being transferred. None may be accepted, and what is fetched again may be no more
than the chunks that were hit."""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import threading
from pathlib import Path
from typing import Any

from stored_version import MODEL, fill_registry
from watched_server import WatchedContent, serve_watched

from rsq.chunks import chunk_range
from rsq.digest import digest_file
from rsq.errors import IntegrityError
from rsq.manifest import FileEntry
from rsq.providers import CPU_PROVIDER
from rsq.resolve import Device, Request
from rsq.rpc import patience
from rsq.rpc.registry import RegistryClient
from rsq_agent.cache import Cache
from rsq_agent.pulling.pull import fetch_plan, plan_pull

REPOSITORY = Path(__file__).resolve().parent.parent
REQUEST = Request(Device("cpu", (CPU_PROVIDER,)), ("vision",))
CHUNK_BYTES = 64 << 10
CHUNKS = 1000
FLIPS_A_ROUND = 50
SEED = 20261123


class Rounds:
    """Pulls one version again and again, with damage between or during the pulls."""

    def __init__(self, folder: Path, weights: FileEntry, service: WatchedContent) -> None:
        self.folder = folder
        self.weights = weights
        self.service = service
        self.chance = random.Random(SEED)
        self.flips = self.hit = self.fetched_again = self.accepted = 0

    def in_flight(self, client: RegistryClient, number: int) -> None:
        """Flips a bit in messages as they leave the server."""
        left = self.chance.sample(range(CHUNKS), FLIPS_A_ROUND)
        doomed, lock, sent = set(left), threading.Lock(), 0

        def damage(data: bytes) -> bytes:
            nonlocal sent
            with lock:
                sent += 1
                if sent not in doomed:
                    return data
                return _flip(bytearray(data), self.chance.randrange(8 * len(data)))

        cache = Cache(self.folder / f"flight-{number}")
        self.service.damage = damage
        moved = self._pull(client, cache)
        self.service.damage = None
        # A damaged message is its chunk, since a chunk here is smaller than a message.
        self._count(cache, FLIPS_A_ROUND, FLIPS_A_ROUND, moved - self._total(cache))

    def at_rest(self, client: RegistryClient, cache: Cache) -> None:
        """Flips bits in the complete file of a cache, then pulls again."""
        path = cache.blob_path(self.weights.sha256)
        hit = self._flip_in(path, range(len(self.weights.chunks)))
        self._count(cache, FLIPS_A_ROUND, len(hit), self._pull(client, cache), hit)

    def in_partial(self, client: RegistryClient, number: int) -> None:
        """Cuts a pull off in the middle, flips bits in what has arrived, then goes on."""
        cache = Cache(self.folder / f"partial-{number}")
        before = len(self.service.reads)

        def cut_off(data: bytes) -> bytes:
            if len(self.service.reads) > before + CHUNKS // 2:
                raise IntegrityError("The registry's disk failed.")
            return data

        self.service.damage = cut_off
        try:
            self._pull(client, cache)
            raise AssertionError("the pull was to be cut off")
        except IntegrityError:
            self.service.damage = None
        path = cache.partial_path(self.weights.sha256)
        bitmap = path.with_name(f"{path.name}.chunks").read_bytes()
        held = [i for i in range(len(self.weights.chunks)) if bitmap[i // 8] >> (i % 8) & 1]
        missing = plan_pull(client, cache, MODEL, REQUEST).bytes_to_fetch
        hit = self._flip_in(path, held)
        moved = self._pull(client, cache)
        self._count(cache, FLIPS_A_ROUND, len(hit), moved - missing, hit)

    def _pull(self, client: RegistryClient, cache: Cache) -> int:
        plan = plan_pull(client, cache, MODEL, REQUEST)
        return fetch_plan(client, cache, plan, on_bytes=lambda count: None, readers=4)

    def _flip_in(self, path: Path, chunks: range | list[int]) -> set[int]:
        """Flips bits of random chunks of the file; the chunks hit."""
        path.chmod(0o644)
        hit = set()
        with path.open("r+b") as file:
            for _ in range(FLIPS_A_ROUND):
                index = self.chance.choice(chunks)
                while index in hit:  # two flips of one bit would undo each other
                    index = self.chance.choice(chunks)
                hit.add(index)
                offset, length = chunk_range(self.weights, index)
                position = offset + self.chance.randrange(length)
                file.seek(position)
                value = file.read(1)
                file.seek(position)
                file.write(_flip(bytearray(value), self.chance.randrange(8)))
        return hit

    def _count(
        self, cache: Cache, flips: int, hit: int, again: int, chunks: set[int] | None = None
    ) -> None:
        allowed = (
            hit * CHUNK_BYTES
            if chunks is None
            else sum(chunk_range(self.weights, index)[1] for index in chunks)
        )
        if again > allowed:
            raise AssertionError(f"{again} bytes were fetched again for {allowed} that were hit")
        self.flips += flips
        self.hit += hit
        self.fetched_again += again
        if digest_file(cache.blob_path(self.weights.sha256)) != self.weights.sha256:
            self.accepted += 1

    def _total(self, cache: Cache) -> int:
        return sum(
            entry.size_bytes
            for identity in cache.artifact_ids()
            for entry in cache.manifest(identity).files
        )


def _flip(data: bytearray, bit: int) -> bytes:
    data[bit // 8] ^= 1 << (bit % 8)
    return bytes(data)


def run(folder: Path, flips: int) -> dict[str, Any]:
    patience.BACKOFF_SECONDS = 0.001
    weights = fill_registry(
        folder / "home",
        folder / "files",
        size_bytes=CHUNKS * CHUNK_BYTES,
        chunk_bytes=CHUNK_BYTES,
    )
    with serve_watched(folder / "home") as (address, service), RegistryClient(address) as client:
        rounds = Rounds(folder, weights, service)
        number = 0
        while rounds.flips < flips // 2:
            rounds.in_flight(client, number)
            number += 1
        cache = Cache(folder / "flight-0")
        while rounds.flips < 3 * flips // 4:
            rounds.at_rest(client, cache)
        while rounds.flips < flips:
            rounds.in_partial(client, number)
            number += 1
    return {
        "flips": rounds.flips,
        "chunk_bytes": CHUNK_BYTES,
        "chunks_hit": rounds.hit,
        "bytes_of_chunks_hit": rounds.hit * CHUNK_BYTES,
        "bytes_fetched_again": rounds.fetched_again,
        "files_accepted_damaged": rounds.accepted,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flips", type=int, default=2000)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "bench/results/flips.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        found = run(Path(name), options.flips)
    print(
        f"{found['flips']} flipped bits hit {found['chunks_hit']} chunks of "
        f"{found['chunk_bytes']} bytes; {found['bytes_fetched_again']} bytes fetched again of "
        f"{found['bytes_of_chunks_hit']} in these chunks; "
        f"{found['files_accepted_damaged']} damaged files accepted"
    )
    options.out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
