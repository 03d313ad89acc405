"""An empty collection in a store of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from collection_points import DIM, SPACE

from rsq_agent.collections.collection import Collection
from rsq_agent.collections.collection_store import CollectionStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CollectionStore]:
    store = CollectionStore(tmp_path)
    yield store
    store.close()


@pytest.fixture
def ships(store: CollectionStore) -> Collection:
    return store.create("ships", space_id=SPACE, dimension=DIM)
