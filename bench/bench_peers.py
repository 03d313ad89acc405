"""rsq beside what else serves such a model: one checkpoint, one machine, the same images and texts.

Rows: rsq INT8 and FP32 through gRPC; ONNX Runtime FP32 behind a plain gRPC handler; infinity over
HTTP; transformers and sentence-transformers as their own loops, without any serving. Servers get
four clients in a closed loop, one item a call; the loops run batches of one and of eight, the
better one counts. Everything stays loaded and takes turns. Peers live in environments of their own,
since they ask for other versions:

    python -m venv ST; ST/bin/pip install torch==2.13.0 sentence-transformers pillow
    python -m venv INF; INF/bin/pip install "infinity-emb[torch,server,vision]" aiohttp
    INF/bin/pip install sentencepiece "transformers>=4.55,<5"
    INF/bin/pip uninstall torchvision timm
    python bench_peers.py --sentence-transformers ST/bin/python --infinity INF/bin/infinity_emb

A peer without its option is left out, and the result says so.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
from base_towers import IMAGES, cpu_name
from bench_serving import CLIENTS, Agent
from load import run_closed
from make_base_checkpoint import make_checkpoint
from plain_grpc import SERVICE
from programs import Programs, free_port

REPOSITORY = Path(__file__).resolve().parent.parent
MODEL = "base"
WINDOW_SECONDS = 4.0
ROUNDS = 5
START_SECONDS = 180.0
KINDS = ("image", "text")
BATCHES = (1, 8)  # of the loops

Measure = Callable[[str], float]  # items a second of "image" or "text", over one window


def closed(call: Callable[[str, int], None]) -> Measure:
    windows = iter(range(1 << 30))

    def measure(kind: str) -> float:
        start = 1_000_000 * next(windows)  # numbers of its own: no text is ever sent twice
        outcome = run_closed(
            lambda number: call(kind, start + number), clients=CLIENTS, seconds=WINDOW_SECONDS
        )
        return len(outcome.latencies_ms) / outcome.seconds

    return measure


def numbered(texts: list[str], number: int) -> str:
    return f"{number} {texts[number % len(texts)]}"


def rsq(agent: Agent, files: list[bytes], texts: list[str]) -> Measure:
    def call(kind: str, number: int) -> None:
        if kind == "image":
            agent.client.embed_image([files[number % len(files)]])
        else:
            agent.client.embed_text([numbered(texts, number)])

    return closed(call)


def plain(agent: Agent, files: list[bytes], texts: list[str], stack: ExitStack) -> Measure:
    """Over the FP32 artifacts of `agent`."""
    vision, text = agent.encoder("vision").manifest, agent.encoder("text").manifest
    assert vision.image is not None
    process = subprocess.Popen(
        [
            sys.executable,
            Path(__file__).with_name("plain_grpc.py"),
            agent.folders["vision"] / vision.file("graph").name,
            agent.folders["text"] / text.file("graph").name,
            agent.folders["text"] / text.file("tokenizer").name,
            str(vision.image.width),
            str(len(os.sched_getaffinity(0))),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    stack.callback(process.terminate)
    assert process.stdout is not None
    channel = stack.enter_context(grpc.insecure_channel(process.stdout.readline().strip()))
    embed_image = channel.unary_unary(f"/{SERVICE}/EmbedImage")
    embed_text = channel.unary_unary(f"/{SERVICE}/EmbedText")

    def call(kind: str, number: int) -> None:
        if kind == "image":
            embed_image(files[number % len(files)])
        else:
            embed_text(numbered(texts, number).encode())

    return closed(call)


def infinity(
    program: str, checkpoint: Path, files: list[bytes], texts: list[str], stack: ExitStack
) -> Measure:
    port = free_port()
    url = f"http://127.0.0.1:{port}/embeddings"
    process = subprocess.Popen(
        [
            program, "v2", "--model-id", str(checkpoint), "--engine", "torch", "--device", "cpu",
            "--host", "127.0.0.1", "--port", str(port), "--served-model-name", MODEL,
            "--no-model-warmup",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    stack.callback(process.terminate)

    def call(kind: str, number: int) -> None:
        if kind == "image":
            data = base64.b64encode(files[number % len(files)]).decode()
            content = f"data:image/jpeg;base64,{data}"
        else:
            content = numbered(texts, number)
        body = json.dumps({"model": MODEL, "input": [content], "modality": kind}).encode()
        request = urllib.request.Request(url, body, {"content-type": "application/json"})
        with urllib.request.urlopen(request) as reply:
            reply.read()

    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            call("text", 0)
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(1)
        else:
            return closed(call)


def loop(
    library: str, python: str, checkpoint: Path, images: Path, texts: Path, stack: ExitStack
) -> Measure:
    threads = str(len(os.sched_getaffinity(0)))
    script = Path(__file__).with_name("peer_loop.py")
    process = subprocess.Popen(
        [python, script, library, checkpoint, images, texts, threads],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    stack.callback(process.terminate)
    to_loop, from_loop = process.stdin, process.stdout
    assert to_loop is not None
    assert from_loop is not None
    if from_loop.readline().strip() != "ready":
        raise RuntimeError(f"{library} could not load the checkpoint with {python}.")

    def measure(kind: str) -> float:
        found = []
        for batch in BATCHES:
            print(kind, batch, WINDOW_SECONDS, file=to_loop, flush=True)
            found.append(float(from_loop.readline()))
        return max(found)

    return measure


def fast_tokenizer(checkpoint: Path, folder: Path) -> Path:
    """A copy whose tokenizer every version of transformers opens from tokenizer.json alone."""
    shutil.copytree(checkpoint, folder)
    path = folder / "tokenizer_config.json"
    fields = json.loads(path.read_text())
    path.write_text(json.dumps({**fields, "tokenizer_class": "PreTrainedTokenizerFast"}))
    return folder


def run(arguments: argparse.Namespace, work: Path, stack: ExitStack) -> dict[str, Any]:
    checkpoint = work / "checkpoint"
    make_checkpoint(checkpoint)
    fast = fast_tokenizer(checkpoint, work / "fast")
    home = arguments.home or work / "home"
    if arguments.home is None:
        Programs(home).run(
            "rsq-server", "publish", checkpoint, "--name", MODEL,
            "--variants", "fp32,int8", "--keep-rejected",
        )  # fmt: skip
    lines = (IMAGES / "captions.jsonl").read_text().splitlines()
    rows = [row for row in map(json.loads, lines) if row["split"] == "test"][::32]
    texts = [row["captions"][0] for row in rows]
    folder = work / "images"
    folder.mkdir()
    for row in rows:
        shutil.copy(IMAGES / row["image"], folder)
    files = [path.read_bytes() for path in sorted(folder.iterdir())]
    (work / "texts.json").write_text(json.dumps(texts))

    cores = len(os.sched_getaffinity(0))
    measures: dict[str, Measure] = {}
    left_out: list[str] = []
    agents = {}
    for variant in ("int8", "fp32"):
        own = work / f"node-{variant}"
        shutil.copytree(home / "server", own / "server")
        agents[variant] = Agent(Programs(own), variant, cores, stack)
        measures[f"rsq {variant}"] = rsq(agents[variant], files, texts)
    measures["ONNX Runtime fp32, plain gRPC"] = plain(agents["fp32"], files, texts, stack)
    libraries = {
        "transformers": sys.executable,
        "sentence-transformers": arguments.sentence_transformers,
    }
    for library, python in libraries.items():
        if python is None:
            left_out.append(library)
        else:
            measures[f"{library} fp32, loop"] = loop(
                library, python, fast, folder, work / "texts.json", stack
            )
    if arguments.infinity is None:
        left_out.append("infinity")
    else:
        measures["infinity fp32, HTTP"] = infinity(arguments.infinity, fast, files, texts, stack)

    found: dict[str, dict[str, list[float]]] = {name: {k: [] for k in KINDS} for name in measures}
    for _ in range(arguments.rounds):
        for name, measure in measures.items():
            for kind in KINDS:
                found[name][kind].append(measure(kind))
    return {
        "device": cpu_name(),
        "cores": cores,
        "clients": CLIENTS,
        "rounds": arguments.rounds,
        "left_out": left_out,
        "rows": {
            name: {
                kind: {"per_second": statistics.median(v), "spread": [min(v), max(v)]}
                for kind, v in kinds.items()
            }
            for name, kinds in found.items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--home", type=Path, help="RSQ_HOME whose registry has the model 'base'")
    parser.add_argument("--sentence-transformers", help="python of its environment")
    parser.add_argument("--infinity", help="the infinity_emb command")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "bench/results/peers.json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        result = run(arguments, Path(name), stack)
    best = {kind: result["rows"]["rsq int8"][kind]["per_second"] for kind in KINDS}
    for name, kinds in result["rows"].items():
        cells = [
            f"{kind} {row['per_second']:7.2f}/s, rsq int8 {best[kind] / row['per_second']:.2f}x"
            for kind, row in kinds.items()
        ]
        print(f"{name:34} {'; '.join(cells)}")
    for name in result["left_out"]:
        print(f"{name}: left out, no environment was named")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
