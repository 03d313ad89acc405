"""What the rest of the agent asks of an index, on this node's disk or in a Qdrant cluster.

The contract suite in tests/contract/test_collections.py holds both to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from rsq.retrieval import Origin, SearchFilter, StoredRecord
from rsq_agent.collections.index_points import Hit, IndexPoint

EVERYTHING = SearchFilter()


@dataclass(frozen=True)
class CollectionStats:
    points: int
    bytes_on_disk: int  # 0 where it is not known
    space_id: str
    dimension: int
    artifacts: dict[str, int]  # points by artifact id


class VectorCollection(Protocol):
    """Vectors of one space id with their payload, searched by cosine. Threads may call everything
    at once."""

    @property
    def name(self) -> str: ...

    @property
    def space_id(self) -> str: ...

    @property
    def dimension(self) -> int: ...

    @property
    def search_width(self) -> int:
        """hnsw_ef of a search without a filter, for the hardest queries."""
        ...

    def add(self, points: Sequence[IndexPoint]) -> None:
        """Inserts or, where uri and window agree, replaces; durable when it returns. Raises
        BadInput and SpaceMismatch before anything is stored."""
        ...

    def search(
        self,
        vector: NDArray[np.float32],
        *,
        space_id: str,
        limit: int,
        offset: int = 0,
        min_score: float | None = None,
        where: SearchFilter = EVERYTHING,
        without_uris: Sequence[str] = (),
        exact: bool = False,
        with_vectors: bool = False,
    ) -> list[Hit]:
        """The best `limit` points by cosine to `vector` float32 [dim] after `offset` better ones,
        among those that meet `where`; of its polygon only the bounding box is looked at. None is of
        `without_uris`. Raises BadInput for a vector that is not finite, is zero or has another
        dimension, and SpaceMismatch for another space id."""
        ...

    def stored_vector(self, origin: Origin) -> NDArray[np.float32]:
        """float32 [dim], normalised; raises NotFound where it is not stored."""
        ...

    def find_stored(self, origins: Sequence[Origin]) -> list[bool]:
        """For each of `origins` whether it is stored, with its stamp where it has one."""
        ...

    def scroll(self, start: UUID | None, *, limit: int) -> tuple[list[StoredRecord], UUID | None]:
        """Up to `limit` records from the id `start` on (None: the first), in the order of their
        ids, and the id to go on from; None at the end. What is added meanwhile may be missed."""
        ...

    def delete(self, uris: Sequence[str]) -> int:
        """Deletes every window of every given uri, durably; returns how many points went."""
        ...

    def delete_outdated(self, origins: Sequence[Origin]) -> int:
        """Deletes the points of the uris of `origins` that have another stamp, durably; returns how
        many went."""
        ...

    def delete_prefix(self, prefix: str) -> int:
        """Deletes every point whose uri starts with `prefix`; returns how many went."""
        ...

    def count(self) -> int: ...

    def stats(self) -> CollectionStats: ...

    def optimize(self) -> bool:
        """Builds the graph where that is due and this node's work; returns whether it did."""
        ...


class VectorCollections(Protocol):
    """All collections, by name."""

    def open(self, name: str) -> VectorCollection:
        """Raises NotFound where there is none."""
        ...

    def create(self, name: str, *, space_id: str, dimension: int) -> VectorCollection:
        """A new, empty one; raises BadInput where the name is taken."""
        ...

    def open_or_create(self, name: str, *, space_id: str, dimension: int) -> VectorCollection:
        """As `open` or else `create`; raises SpaceMismatch where it is of another space."""
        ...

    def names(self) -> list[str]:
        """Sorted."""
        ...

    def drop(self, name: str) -> None:
        """Removes it and its points for good; raises NotFound where there is none."""
        ...

    def close(self) -> None:
        """Harmless twice."""
        ...
