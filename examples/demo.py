"""The whole of rsq in one run: publish, serve, pull what fits, index, search.

Runs the two commands as a user would and prints each before it runs. Everything it makes lies in
.demo/ beside this repository's files; both servers are ended before it returns.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / ".demo"
COMMANDS = Path(sys.executable).parent
BUDGET = "200MB"
SCENES_PER_CLASS = 8
SCENE_SEED = 2026
SCENE_SIZE = 256
QUERY = "port with large cargo ships"
START_SECONDS = 60


def main() -> None:
    started = time.monotonic()
    shutil.rmtree(FOLDER, ignore_errors=True)
    scenes = FOLDER / "scenes"
    environment = {**os.environ, "RSQ_HOME": str(FOLDER / "home")}
    server, agent = (f"127.0.0.1:{port}" for port in free_ports(2))

    def run(*command: str) -> None:
        show(command)
        subprocess.run([COMMANDS / command[0], *command[1:]], check=True, env=environment)

    say("Publish the demo model: export, quantize, evaluate, profile")
    run("rsq-server", "publish", "demo", "--name", "demo", "--alias", "production")
    say("Start the registry server, and pull the artifacts that fit this node's budget")
    with background(environment, "rsq-server", "serve", "--listen", server):
        run("rsq-agent", "pull", "demo", "--vram", BUDGET, "--server", server, "--agent", agent)
        say("Start the agent, which proves the artifacts before it serves")
        with background(environment, "rsq-agent", "serve", "--listen", agent, "--server", server):
            write_scenes(scenes)
            say("Index the images and search them by words")
            run("rsq-agent", "index", "add", str(scenes), "--agent", agent)
            sheet = FOLDER / "hits.png"
            run("rsq-agent", "search", QUERY, "-k", "5", "--agent", agent,
                "--contact-sheet", str(sheet))  # fmt: skip
            say("What the registry knows of the model and of the node")
            run("rsq-server", "show", "demo")
            run("rsq-server", "nodes")
    print(f"\nDone in {time.monotonic() - started:.0f} s. Everything lies in {FOLDER}")


def say(sentence: str) -> None:
    print(f"\n=== {sentence}", flush=True)


def show(command: tuple[str, ...]) -> None:
    words = [f'"{word}"' if " " in word else word for word in command]
    print(f"$ {' '.join(words)}", flush=True)


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [open_socket.getsockname()[1] for open_socket in sockets]
    for open_socket in sockets:
        open_socket.close()
    return ports


@contextmanager
def background(environment: dict[str, str], *command: str) -> Iterator[None]:
    """Runs a serving command until the block ends; waits for the line that says it is ready."""
    show((*command, "&"))
    process = subprocess.Popen(
        [COMMANDS / command[0], *command[1:]], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            sys.exit(f"{command[0]} ended before it was ready.")
        print(line, end="", flush=True)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()


def write_scenes(folder: Path) -> None:
    """Freshly drawn overhead scenes, none of which the model was trained on."""
    from rsq_server.demo.scenes import generate_scenes

    folder.mkdir(parents=True)
    counts: dict[str, int] = {}
    for scene in generate_scenes(seed=SCENE_SEED, per_class=SCENES_PER_CLASS, size=SCENE_SIZE):
        counts[scene.label] = counts.get(scene.label, 0) + 1
        name = f"{scene.label.replace(' ', '-')}-{counts[scene.label]}.jpg"
        scene.image.save(folder / name, quality=92)
    print(f"\nDrew {sum(counts.values())} scenes of {len(counts)} kinds in {folder}", flush=True)


if __name__ == "__main__":
    main()
