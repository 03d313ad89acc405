"""What it takes to fuzz something that reads bytes which somebody else wrote.

A target may refuse its input with an error of ours. Anything else that it raises, a crash, a hang
or memory without bounds is a fault. `tests/corpus/<target>/` holds inputs that once were faults and
seeds; `test_fuzz` replays them and tries some more, `bench_fuzz` tries millions.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from rsq.errors import RsqError

CORPUS = Path(__file__).parent / "corpus"
SHARED_MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None


@dataclass(frozen=True)
class Target:
    """`is_json` tells how to change an input; `slow` that one execution takes a tenth of a
    millisecond or more."""

    name: str
    run: Callable[[bytes], object]
    is_json: bool = False
    slow: bool = False


def try_input(target: Target, data: bytes) -> None:
    """Raises whatever is not an error of ours."""
    try:
        target.run(data)
    except RsqError:
        pass


def read_corpus(target: Target) -> list[bytes]:
    return [path.read_bytes() for path in sorted((CORPUS / target.name).iterdir())]


@contextmanager
def as_file(data: bytes) -> Iterator[Path]:
    """A path whose content is `data`, for the length of a block."""
    with tempfile.TemporaryFile(dir=SHARED_MEMORY) as file:
        file.write(data)
        file.flush()
        yield Path(f"/proc/self/fd/{file.fileno()}")


@contextmanager
def as_folder(name: str, data: bytes) -> Iterator[Path]:
    """A folder with one file, for the length of a block."""
    with tempfile.TemporaryDirectory(dir=SHARED_MEMORY) as folder:
        (Path(folder) / name).write_bytes(data)
        yield Path(folder)


def as_message(kind: Any, *reads: Callable[[Any], object]) -> Callable[[bytes], None]:
    """Parses a protobuf and reads it in our terms."""

    def run(data: bytes) -> None:
        message = kind()
        try:
            message.ParseFromString(data)
        except DecodeError:
            return  # grpc refuses it before us
        for read in reads:
            try:
                read(message)
            except RsqError:
                continue

    return run
