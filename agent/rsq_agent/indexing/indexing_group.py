"""Items of an index stream: embedded, checked and stored group by group."""

from __future__ import annotations

from contextlib import ExitStack

from rsq.errors import BadInput, RsqError
from rsq.retrieval import IndexItem, IndexOutcome
from rsq_agent.collections.collection_interface import VectorCollection
from rsq_agent.collections.index_points import IndexPoint, check_point
from rsq_agent.inference.embedding import Caller, PendingItems
from rsq_agent.inference.live_model import LiveModel


class IndexingGroup:
    """Items on their way through the vision tower into a collection."""

    def __init__(
        self,
        model: LiveModel,
        collection: VectorCollection,
        items: list[IndexItem],
        caller: Caller,
        held: ExitStack,
    ) -> None:
        """Once this has returned `held` is closed at the end: it keeps `model` loaded."""
        self._model = model
        self._collection = collection
        self._items = items
        self._pending = PendingItems(model, "vision", [item.image for item in items], caller)
        held.callback(self._pending.discard)
        self._held = held.pop_all()

    def finish(self) -> list[IndexOutcome]:
        """One outcome an item, in order, after the good ones are on disk; a bad one costs itself
        only."""
        with self._held:
            outcomes: list[IndexOutcome] = []
            points: list[IndexPoint] = []
            for item, result in zip(self._items, self._pending.collect(), strict=True):
                if isinstance(result, RsqError):
                    outcomes.append(IndexOutcome(item.uri, result))
                    continue
                point = IndexPoint(
                    uri=item.uri,
                    vector=result,
                    artifact_id=self._model.tower("vision").artifact_id,
                    space_id=self._model.manifest.space_id,
                    window=item.payload.window,
                    bbox=item.payload.bbox,
                    datetime=item.payload.datetime,
                    tags=item.payload.tags,
                    footprint=item.payload.footprint,
                    stamp=item.payload.stamp,
                )
                try:
                    check_point(
                        point,
                        space_id=self._collection.space_id,
                        dimension=self._collection.dimension,
                    )
                except BadInput as e:
                    outcomes.append(IndexOutcome(item.uri, e))
                    continue
                points.append(point)
                outcomes.append(IndexOutcome(item.uri, None))
            self._collection.add(points)
            return outcomes

    def discard(self) -> None:
        self._held.close()
