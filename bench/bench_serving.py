"""What serving costs over a bare ONNX Runtime loop, and how the agent behaves under load.

One run on one machine: the agent of each variant is a process of its own that stays up, and windows
of the bare loop, of raw tensors, of JPEG files and of texts take turns. Clients are threads of this
process, so their work is part of the price. Then the INT8 agent alone: open load at 80 % of what it
managed, and at twice that. Last, four INT8 agents at that 80 % in turns: each split of two cores,
with and without a latency target, beside what a queue of such runs gives by calculation.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from base_towers import IMAGES, cpu_name
from load import run_closed, run_open
from make_base_checkpoint import make_checkpoint
from numpy.typing import NDArray
from programs import Programs
from serving_splits import compare_splits, show_splits

from rsq.client import Client
from rsq.encoder import Encoder
from rsq.manifest import TOWERS, Tower, decode_manifest
from rsq.rpc.channel import open_channel
from rsq.v1 import embedding_pb2 as pb
from rsq.v1.embedding_pb2_grpc import EmbeddingStub

REPOSITORY = Path(__file__).resolve().parent.parent
MODEL = "base"
VARIANTS = ["int8", "int8-static", "fp32"]
SPLITS = ((1, 2), (2, 1))  # workers, threads of each, with two cores
CLIENTS = 4
WINDOW_SECONDS = 4.0
ROUNDS = 5
LOAD_SECONDS = 40.0
LATENCY_TARGET = "300ms"
IMAGE_COUNT = 32


@dataclass(frozen=True)
class Inputs:
    """The same images as files and as rows, and captions."""

    files: list[bytes]
    pixels: NDArray[np.float32]
    texts: list[str]
    ids: NDArray[np.int64]


class Loop:
    """A bare loop in a process of its own."""

    def __init__(self, graph: Path, rows: Path, workers: int, threads: int) -> None:
        script = Path(__file__).with_name("ort_loop.py")
        command = [sys.executable, script, graph, rows, str(workers), str(threads)]
        self._process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._read()

    def per_second(self, seconds: float) -> float:
        assert self._process.stdin is not None
        print(seconds, file=self._process.stdin, flush=True)
        return float(self._read())

    def close(self) -> None:
        self._process.communicate()

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


class Agent:
    """An agent of one variant with its clients, and bare loops over its very artifacts."""

    def __init__(self, programs: Programs, variant: str, threads: int, stack: ExitStack) -> None:
        self.variant = variant
        with programs.serve_registry():
            chosen = programs.pull(MODEL, "--pin", variant, "--json").json()["chosen"]
        home = programs.home / "agent"
        self.folders = {one["tower"]: home / "artifacts" / one["id"] for one in chosen}
        self._manifests = {
            one["tower"]: decode_manifest((home / "manifests" / f"{one['id']}.json").read_bytes())
            for one in chosen
        }
        stack.enter_context(programs.serve_agent("--threads", str(threads)))
        self.client = stack.enter_context(Client(programs.agent))
        self.stub = EmbeddingStub(stack.enter_context(open_channel(programs.agent)))

    def encoder(self, tower: Tower) -> Encoder:
        return Encoder(self.folders[tower], self._manifests[tower])

    def loops(self, tower: Tower, rows: Path, stack: ExitStack) -> dict[str, Loop]:
        graph = self.folders[tower] / self._manifests[tower].file("graph").name
        found = {}
        for workers, threads in SPLITS:
            loop = found[f"{workers}x{threads}"] = Loop(graph, rows, workers, threads)
            stack.callback(loop.close)
        return found

    def served(self) -> list[dict[str, Any]]:
        return [
            {"tower": one.tower, "workers": one.workers, "threads": one.threads}
            for one in self.client.info().towers
        ]


def read_inputs(agent: Agent, texts: int) -> Inputs:
    lines = (IMAGES / "captions.jsonl").read_text().splitlines()
    rows = [row for row in map(json.loads, lines) if row["split"] == "test"]
    chosen = rows[:: len(rows) // IMAGE_COUNT][:IMAGE_COUNT]
    files = [(IMAGES / row["image"]).read_bytes() for row in chosen]
    captions = [row["captions"][0] for row in rows][:texts]
    vision, text = agent.encoder("vision"), agent.encoder("text")
    pixels = np.stack([vision.prepare_image(data) for data in files])
    return Inputs(files, pixels, captions, text.prepare_texts(captions))


def raw_call(stub: EmbeddingStub, inputs: Inputs) -> Callable[[int], None]:
    raws = [row.astype("<f4").tobytes() for row in inputs.pixels]

    def raw(number: int) -> None:
        image = pb.Image(raw=pb.RawImage(data=raws[number % len(raws)]))
        stub.EmbedImage(pb.EmbedImageRequest(images=[image]))

    return raw


def calls_of(agent: Agent, inputs: Inputs) -> dict[str, Callable[[int], None]]:

    def jpeg(number: int) -> None:
        agent.client.embed_image([inputs.files[number % len(inputs.files)]])

    def text(number: int) -> None:
        # A number of its own, so that no answer comes from the agent's memory.
        agent.client.embed_text([f"{number} {inputs.texts[number % len(inputs.texts)]}"])

    return {"raw tensors": raw_call(agent.stub, inputs), "JPEG files": jpeg, "texts": text}


def compare(agent: Agent, inputs: Inputs, work: Path, rounds: int) -> dict[str, Any]:
    np.save(work / "vision.npy", inputs.pixels)
    np.save(work / "text.npy", inputs.ids)
    calls = calls_of(agent, inputs)
    found: dict[str, list[float]] = {}
    numbers = 0
    with ExitStack() as stack:
        loops = {
            f"bare loop, {tower}, {split}": loop
            for tower in TOWERS
            for split, loop in agent.loops(tower, work / f"{tower}.npy", stack).items()
        }
        for _ in range(rounds):
            for name, loop in loops.items():
                found.setdefault(name, []).append(loop.per_second(WINDOW_SECONDS))
            for name, call in calls.items():
                start = numbers
                outcome = run_closed(
                    lambda number, call=call, start=start: call(start + number),
                    clients=CLIENTS,
                    seconds=WINDOW_SECONDS,
                )
                numbers += 1_000_000
                found.setdefault(name, []).append(len(outcome.latencies_ms) / outcome.seconds)
    rows = {
        name: {"per_second": statistics.median(values), "spread": [min(values), max(values)]}
        for name, values in found.items()
    }
    best = {
        tower: max(row["per_second"] for name, row in rows.items() if f"loop, {tower}" in name)
        for tower in TOWERS
    }
    for name in calls:
        rows[name]["of_bare_loop"] = (
            rows[name]["per_second"] / best["text" if name == "texts" else "vision"]
        )
    return {"served": agent.served(), "rows": rows}


def load(agent: Agent, inputs: Inputs, per_second: float, seconds: float) -> dict[str, Any]:
    """Open load of raw tensors at shares of `per_second`."""
    call = calls_of(agent, inputs)["raw tensors"]
    found = {}
    for share in (0.5, 0.8, 2.0):
        outcome = run_open(
            translate(call),
            per_second=share * per_second,
            seconds=seconds,
            clients=64,
            seed=int(share * 10),
        )
        found[f"{share:.0%}"] = outcome.to_json()
    return found


def translate(call: Callable[[int], None]) -> Callable[[int], None]:
    from rsq.rpc.channel import translate_errors

    def translated(number: int) -> None:
        with translate_errors("the agent"):
            call(number)

    return translated


@contextmanager
def registry(home: Path | None) -> Iterator[Path]:
    """RSQ_HOME of a registry that has the base model: the one given, or a new one."""
    if home is not None:
        yield home
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_checkpoint(folder / "checkpoint")
        Programs(folder / "home").run(
            "rsq-server", "publish", folder / "checkpoint", "--name", MODEL,
            "--variants", ",".join(VARIANTS), "--keep-rejected",
        )  # fmt: skip
        yield folder / "home"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, help="RSQ_HOME whose registry has the model 'base'")
    parser.add_argument("--variants", default=",".join(VARIANTS))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--load-seconds", type=float, default=LOAD_SECONDS)
    parser.add_argument("--latency-target", default=LATENCY_TARGET, help="of the row with one")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "bench/results/serving.json")
    arguments = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    result: dict[str, Any] = {
        "device": cpu_name(),
        "cores": cores,
        "clients": CLIENTS,
        "window_seconds": WINDOW_SECONDS,
        "rounds": arguments.rounds,
        "variants": {},
    }
    with registry(arguments.home) as home, tempfile.TemporaryDirectory() as name:
        work = Path(name)
        for variant in arguments.variants.split(","):
            programs = Programs(home)
            with ExitStack() as stack:
                agent = Agent(programs, variant, cores, stack)
                inputs = read_inputs(agent, texts=512)
                found = compare(agent, inputs, work, arguments.rounds)
                if variant == "int8":
                    per_second = found["rows"]["raw tensors"]["per_second"]
                    found["open_load"] = load(agent, inputs, per_second, arguments.load_seconds)
            if variant == "int8":
                found["splits"] = compare_splits(
                    home,
                    work,
                    cores=cores,
                    splits=SPLITS,
                    target=arguments.latency_target,
                    per_second=found["rows"]["raw tensors"]["per_second"],
                    seconds=arguments.load_seconds,
                    open_call=lambda address, stack, inputs=inputs: translate(
                        raw_call(EmbeddingStub(stack.enter_context(open_channel(address))), inputs)
                    ),
                )
            result["variants"][variant] = found
            show(variant, found)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")


def show(variant: str, found: dict[str, Any]) -> None:
    print(f"{variant}: {found['served']}")
    for name, row in found["rows"].items():
        share = f"{row['of_bare_loop']:7.1%} of the bare loop" if "of_bare_loop" in row else ""
        low, high = row["spread"]
        print(f"  {name:28} {row['per_second']:7.2f}/s ({low:.2f} to {high:.2f}) {share}")
    for share, row in found.get("open_load", {}).items():
        print(f"  open load {share}: {row}")
    show_splits(found.get("splits", {}))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
