from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rsq.errors import EnvironmentFault, IntegrityError, NotFound
from rsq_agent.collections.migration_record import (
    MIGRATION_NAME,
    MigrationRecord,
    folder_in_use,
    names_folder,
    new_shadow_name,
    read_migration,
    remove_migration,
    write_migration,
)

SHADOW = "scenes.0123abcd"
RECORD = MigrationRecord(
    collection="scenes",
    state="running",
    source="scenes",
    shadow=SHADOW,
    old_space_id="a" * 64,
    new_space_id="b" * 64,
    dimension=16,
    model="tiny:2",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "scenes"
    made.mkdir()
    write_migration(made, RECORD)
    return made


def test_a_record_comes_back_as_it_was_and_goes_when_removed(folder: Path) -> None:
    assert read_migration(folder) == RECORD
    remove_migration(folder)
    with pytest.raises(NotFound, match="migrate start scenes"):
        read_migration(folder)


@pytest.mark.parametrize(
    ("state", "used"),
    [("running", "scenes"), ("ready", "scenes"), ("failed", "scenes"), ("cut_over", SHADOW)],
)
def test_one_word_says_which_folder_is_in_use(folder: Path, state: str, used: str) -> None:
    write_migration(folder, replace(RECORD, state=state))
    assert folder_in_use(folder, "scenes") == used


def test_without_a_migration_the_collection_is_its_own_folder(tmp_path: Path) -> None:
    assert folder_in_use(tmp_path / "scenes", "scenes") == "scenes"
    assert not names_folder(tmp_path / "scenes", SHADOW)


def test_a_shadow_is_kept_while_its_migration_can_not_be_read(folder: Path) -> None:
    assert names_folder(folder, SHADOW)
    assert not names_folder(folder, new_shadow_name("scenes"))
    (folder / MIGRATION_NAME).write_text("{")
    assert names_folder(folder, "scenes.ffffffff")


def test_a_newer_schema_is_told_from_damage(folder: Path) -> None:
    fields = json.loads((folder / MIGRATION_NAME).read_text())
    (folder / MIGRATION_NAME).write_text(json.dumps({**fields, "schema": 99}))
    with pytest.raises(EnvironmentFault, match="Upgrade rsq"):
        read_migration(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"state": "unheard of"},
        {"shadow": "../elsewhere"},
        {"shadow": "other.0123abcd"},
        {"source": "", "state": "running"},
        {"collection": "another"},
        {"new_space_id": "short"},
        {"dimension": "many"},
    ],
    ids=str,
)
def test_a_record_that_does_not_hang_together_is_refused(
    folder: Path, change: dict[str, str]
) -> None:
    fields = json.loads((folder / MIGRATION_NAME).read_text())
    (folder / MIGRATION_NAME).write_text(json.dumps({**fields, **change}))
    with pytest.raises(IntegrityError):
        read_migration(folder)
