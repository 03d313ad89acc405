"""Processes that write one registry at once, as several servers do."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

from sqlalchemy import Engine
from unit.registry.samples import make_draft

from rsq_registry.blobs import BlobStore
from rsq_registry.catalogue import Catalogue

MOVES = 20

PROGRAM = """
import sys
from pathlib import Path
from rsq_registry.blobs import BlobStore
from rsq_registry.catalogue import Catalogue
from rsq_registry.database import open_database

database, folder, who, moves = sys.argv[1:]
engine = open_database(database)
catalogue = Catalogue(engine, BlobStore(Path(folder)))
for move in range(int(moves)):
    catalogue.set_alias("demo", "production", 1 + move % 2, who)
engine.dispose()
"""


def test_no_move_of_an_alias_is_lost_between_processes(
    engine: Engine, database: str, blobs: BlobStore, tmp_path: Path
) -> None:
    catalogue = Catalogue(engine, blobs)
    for number in (1, 2):
        catalogue.add_version(make_draft(blobs, content=str(number)))
    writers = [
        subprocess.Popen(
            [
                sys.executable, "-W", "error", "-c", PROGRAM,
                database, str(tmp_path / "blobs"), who, str(MOVES),
            ],
            env=dict(os.environ),
        )
        for who in ("one", "two", "three")
    ]  # fmt: skip
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0, 0]
    history = catalogue.alias_history("demo")
    assert Counter(event.by for event in history) == {"one": MOVES, "two": MOVES, "three": MOVES}
    current = catalogue.resolve_reference("demo@production").version
    assert current == history[-1].version
