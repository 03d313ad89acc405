"""Runs the two commands as a user does: own data folder, own ports, everything ended at the end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMANDS = Path(sys.executable).parent
TIMEOUT_SECONDS = 1800


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as open_socket:
        return int(open_socket.getsockname()[1])


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


class Programs:
    """One data folder with a server address and an agent address."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.server = f"127.0.0.1:{free_port()}"
        self.agent = f"127.0.0.1:{free_port()}"
        self.environment = {**os.environ, "RSQ_HOME": str(home)}

    def run(self, *command: str | Path, check: bool = True) -> Result:
        """Runs `rsq-server ...` or `rsq-agent ...` to its end."""
        done = subprocess.run(
            [COMMANDS / command[0], *command[1:]],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
        if check and done.returncode != 0:
            raise RuntimeError(
                f"{command} ended with {done.returncode}:\n{done.stderr}{done.stdout}"
            )
        return Result(done.returncode, done.stdout, done.stderr)

    def pull(self, *arguments: str, check: bool = True) -> Result:
        return self.run(
            "rsq-agent", "pull", *arguments, "--server", self.server, "--agent", self.agent,
            check=check,
        )  # fmt: skip

    @contextmanager
    def serve_registry(self, *arguments: str) -> Iterator[None]:
        with self._serve("rsq-server", "serve", "--listen", self.server, *arguments):
            yield

    @contextmanager
    def serve_agent(self, *arguments: str) -> Iterator[None]:
        command = ("rsq-agent", "serve", "--listen", self.agent, "--server", self.server)
        with self._serve(*command, *arguments):
            yield

    @contextmanager
    def _serve(self, *command: str) -> Iterator[None]:
        process = subprocess.Popen(
            [COMMANDS / command[0], *command[1:]],
            env=self.environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        try:
            if not process.stdout.readline():
                raise RuntimeError(f"{command} ended with {process.wait()} before it was ready")
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()
