"""A PostgreSQL server of the tests' own, on a socket in a folder of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import psycopg

START_SECONDS = 60
USER = "rsq"


def find_binaries() -> Path | None:
    """The folder of PostgreSQL's server programs, None where there are none."""
    found = shutil.which("pg_config")
    if found is None:
        return None
    done = subprocess.run([found, "--bindir"], capture_output=True, text=True, check=False)
    folder = Path(done.stdout.strip())
    return folder if (folder / "initdb").is_file() else None


class PostgresServer:
    """Started when made. The folder is short, because a socket's path may have 107 bytes."""

    def __init__(self, binaries: Path) -> None:
        self._binaries = binaries
        self.folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
        # PostgreSQL refuses to run as root.
        self._user = "nobody" if os.getuid() == 0 else None
        if self._user is not None:
            shutil.chown(self.folder, self._user)
        self._count = 0
        self._run(
            "initdb", "-D", self._data, "-U", USER, "-A", "trust", "-E", "UTF8", "--no-locale",
            "--no-sync",
        )  # fmt: skip
        self.start()

    @property
    def _data(self) -> str:
        return str(self.folder / "data")

    def start(self) -> None:
        options = f"-k {self.folder} -c listen_addresses= -c max_connections=60"
        self._run(
            "pg_ctl", "-D", self._data, "-l", str(self.folder / "log"), "-w",
            "-t", str(START_SECONDS), "-o", options, "start",
        )  # fmt: skip

    def kill(self) -> None:
        """Ends it in the middle of what it does, without a checkpoint."""
        self._run("pg_ctl", "-D", self._data, "-m", "immediate", "-w", "stop")

    def stop(self) -> None:
        if (self.folder / "data" / "postmaster.pid").exists():
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def new_database(self) -> str:
        """The URL of an empty database."""
        self._count += 1
        name = f"registry_{self._count}"
        with psycopg.connect(f"host={self.folder} user={USER} dbname=postgres") as connection:
            connection.autocommit = True
            connection.execute(f"CREATE DATABASE {name}")
        return f"postgresql+psycopg://{USER}@/{name}?host={self.folder}"

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self._binaries / program), *arguments],
            user=self._user,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=START_SECONDS * 2,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{program} ended with {done.returncode}: {done.stderr}")
