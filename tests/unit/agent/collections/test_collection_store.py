"""The store of collections: names, owners, and what is left of work that was cut short."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rsq.errors import BadInput, EnvironmentFault, IntegrityError, NotFound, SpaceMismatch
from rsq_agent.collections.collection_store import CollectionStore

SPACE = "a" * 64
OTHER_SPACE = "b" * 64


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CollectionStore]:
    store = CollectionStore(tmp_path / "collections")
    yield store
    store.close()


def test_created_collections_are_listed_and_found_again_after_reopening(tmp_path: Path) -> None:
    store = CollectionStore(tmp_path)
    for name in ("ships", "airports"):
        store.create(name, space_id=SPACE, dimension=4)
    assert store.names() == ["airports", "ships"]
    store.close()
    store = CollectionStore(tmp_path)
    assert store.names() == ["airports", "ships"]
    assert (store.open("ships").space_id, store.open("ships").dimension) == (SPACE, 4)
    assert store.open("ships") is store.open("ships")
    store.close()


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "a/b", "/etc", "A", "a b", "-a", "a-", "a\n", "é", "a" * 65, ".new-x"],
)
def test_a_name_that_could_be_a_path_is_refused_everywhere(
    store: CollectionStore, name: str
) -> None:
    with pytest.raises(BadInput):
        store.create(name, space_id=SPACE, dimension=4)
    with pytest.raises(BadInput):
        store.open(name)
    with pytest.raises(BadInput):
        store.drop(name)


def test_names_of_64_characters_are_taken(store: CollectionStore) -> None:
    assert store.create("a" * 64, space_id=SPACE, dimension=4).name == "a" * 64


def test_unknown_collections_are_not_found(store: CollectionStore) -> None:
    with pytest.raises(NotFound, match="ships"):
        store.open("ships")
    with pytest.raises(NotFound, match="ships"):
        store.drop("ships")


def test_a_taken_name_is_refused(store: CollectionStore) -> None:
    store.create("ships", space_id=SPACE, dimension=4)
    with pytest.raises(BadInput, match="already"):
        store.create("ships", space_id=SPACE, dimension=4)


@pytest.mark.parametrize(("space_id", "dimension"), [("short", 4), (SPACE, 0), (SPACE, 65537)])
def test_a_refused_creation_leaves_nothing(
    store: CollectionStore, tmp_path: Path, space_id: str, dimension: int
) -> None:
    before = sorted((tmp_path / "collections").iterdir())
    with pytest.raises(BadInput):
        store.create("ships", space_id=space_id, dimension=dimension)
    assert sorted((tmp_path / "collections").iterdir()) == before


def test_open_or_create_refuses_another_space_at_the_same_dimension(
    store: CollectionStore,
) -> None:
    made = store.open_or_create("ships", space_id=SPACE, dimension=4)
    assert store.open_or_create("ships", space_id=SPACE, dimension=4) is made
    with pytest.raises(SpaceMismatch, match="another collection") as caught:
        store.open_or_create("ships", space_id=OTHER_SPACE, dimension=4)
    assert caught.value.metadata["collection_space_id"] == SPACE
    with pytest.raises(SpaceMismatch):
        store.open_or_create("ships", space_id=SPACE, dimension=5)


def test_dropping_removes_the_points_and_frees_the_name(
    store: CollectionStore, tmp_path: Path
) -> None:
    dropped = store.create("ships", space_id=SPACE, dimension=4)
    store.drop("ships")
    assert store.names() == []
    assert not [path for path in (tmp_path / "collections").iterdir() if path.is_dir()]
    with pytest.raises(EnvironmentFault, match="closed"):
        dropped.count()
    assert store.create("ships", space_id=OTHER_SPACE, dimension=8).count() == 0


def test_a_second_process_is_told_who_owns_the_folder(
    store: CollectionStore, tmp_path: Path
) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom rsq.errors import EnvironmentFault\n"
        "from rsq_agent.collections.collection_store import CollectionStore\n"
        "try:\n    CollectionStore(Path(sys.argv[1]))\n"
        "except EnvironmentFault as e:\n    print(e)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "collections")]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    owner = (tmp_path / "collections" / "owner").read_text()
    assert owner in told.stdout
    # Twice, since a failed attempt must not take the owner's name away.
    again = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert again.stdout == told.stdout


def test_closing_gives_the_folder_to_the_next_owner(tmp_path: Path) -> None:
    first = CollectionStore(tmp_path)
    with pytest.raises(EnvironmentFault):
        CollectionStore(tmp_path)
    first.close()
    first.close()
    CollectionStore(tmp_path).close()
    with pytest.raises(EnvironmentFault, match="closed"):
        first.open("ships")


def rewrite(tmp_path: Path, **changes: object) -> None:
    path = tmp_path / "ships" / "collection.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def make_ships(tmp_path: Path) -> None:
    store = CollectionStore(tmp_path)
    store.create("ships", space_id=SPACE, dimension=4)
    store.close()


@pytest.mark.parametrize(
    ("schema", "advice"), [(3, r"schema 3.*Upgrade rsq"), (1, r"schema 1.*index again")]
)
def test_a_record_of_another_release_is_refused_with_advice(
    tmp_path: Path, schema: int, advice: str
) -> None:
    make_ships(tmp_path)
    rewrite(tmp_path, schema=schema)
    store = CollectionStore(tmp_path)
    with pytest.raises(EnvironmentFault, match=advice):
        store.open("ships")
    store.close()


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "planes"},
        {"schema": "2"},
        {"extents": None},
        {"extents": {"small": {"width": 10**400, "height": 0}, "large": None}},
        {"space_id": "?"},
        {"dimension": "4"},
        {"dimension": 0},
        {"shard": "../elsewhere"},
        {"shard": 3},
        {"shard": "shard-" + "0" * 16},
    ],
)
def test_a_damaged_record_is_named_as_damage(tmp_path: Path, changes: dict[str, object]) -> None:
    make_ships(tmp_path)
    rewrite(tmp_path, **changes)
    store = CollectionStore(tmp_path)
    with pytest.raises(IntegrityError):
        store.open("ships")
    store.close()


def test_a_torn_record_and_a_torn_shard_are_named_as_damage(tmp_path: Path) -> None:
    make_ships(tmp_path)
    store = CollectionStore(tmp_path)
    config = next((tmp_path / "ships").glob("shard-*/edge_config.json"))
    config.write_bytes(config.read_bytes()[:20])
    with pytest.raises(IntegrityError, match="index again"):
        store.open("ships")
    record = tmp_path / "ships" / "collection.json"
    record.write_bytes(record.read_bytes()[:20])
    with pytest.raises(IntegrityError, match=r"collection\.json"):
        store.open("ships")
    store.close()


def test_what_a_crash_left_is_cleared_on_opening(tmp_path: Path) -> None:
    make_ships(tmp_path)
    for leftover in (".new-1", ".old-2", "ships/shard-" + "0" * 16):
        (tmp_path / leftover / "segments").mkdir(parents=True)
    store = CollectionStore(tmp_path)
    assert store.open("ships").count() == 0
    store.close()
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["ships"]
    assert len(list((tmp_path / "ships").glob("shard-*"))) == 1


def test_a_folder_that_cannot_be_made_is_an_environment_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(EnvironmentFault, match="can't be used"):
        CollectionStore(tmp_path / "file" / "collections")
