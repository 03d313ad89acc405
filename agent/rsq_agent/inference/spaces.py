"""Which model of this node makes vectors of a given embedding space.

Served models come first, the current one before the others. What a model was before its last swap
is still on the disk for a rollback; it is offered under NAME:VERSION beside the newer version, and
loaded when something asks for its space.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from rsq.errors import NotFound, SpaceMismatch
from rsq_agent.cache import Cache
from rsq_agent.collections.collection_interface import VectorCollection
from rsq_agent.collections.sharing import load_sharing
from rsq_agent.inference.live_model import LiveModel
from rsq_agent.inference.serving import Serving
from rsq_agent.inference.slots import SHOWN_LENGTH, title
from rsq_agent.state import Activation, load_state


@dataclass(frozen=True)
class ModelSpace:
    """`model` is a name that `Serving.lease` takes."""

    model: str
    title: str  # NAME:VERSION
    space_id: str
    dimension: int


class Spaces:
    def __init__(self, cache: Cache, serving: Serving) -> None:
        self._cache = cache
        self._serving = serving

    @contextmanager
    def lease_for(self, collection: VectorCollection) -> Iterator[LiveModel]:
        """The model of the collection's space. Raises SpaceMismatch where this node has none,
        saying which version it would be, and as `Serving.lease` does."""
        space_id = collection.space_id
        name, found = self._find(space_id)
        if not found:
            raise self._mismatch(collection)
        with self._serving.lease(name) as live:
            if live.manifest.space_id != space_id:  # swapped since it was found
                raise self._mismatch(collection)
            yield live

    def resolve(self, reference: str) -> ModelSpace:
        """The model NAME or NAME:VERSION of this node; raises NotFound."""
        known = self._activations()
        for activation in known:
            if reference in (activation.model, title(activation)):
                manifest = self._cache.manifest(activation.artifacts[0])
                return ModelSpace(
                    activation.model, title(activation), manifest.space_id, manifest.dimension
                )
        there = ", ".join(title(activation) for activation in known) or "none"
        raise NotFound(
            f"This node has no model {reference[:SHOWN_LENGTH]!r}; it has {there}. Pull it first: "
            "rsq-agent pull NAME:VERSION"
        )

    def _find(self, space_id: str) -> tuple[str | None, bool]:
        """The name to lease, None for the current model, and whether there is one."""
        current = self._serving.model
        if current is not None and current.towers and current.manifest.space_id == space_id:
            return None, True
        known = self._activations()
        for activation in known:
            if self._cache.manifest(activation.artifacts[0]).space_id == space_id:
                self._serving.offer(activation)
                return activation.model, True
        return None, not known  # with no model at all the lease says so

    def _activations(self) -> list[Activation]:
        served = [served.activation for served in self._serving.models()]
        names = {activation.model for activation in served}
        previous = [
            replace(before, model=title(before))
            for entry in load_state(self._cache).models.values()
            if (before := entry.previous) is not None
        ]
        return served + [activation for activation in previous if activation.model not in names]

    def _mismatch(self, collection: VectorCollection) -> SpaceMismatch:
        there = ", ".join(title(activation) for activation in self._activations())
        table = load_sharing(self._cache)
        makers = sorted({table[key].name for key in collection.stats().artifacts if key in table})
        made_by = f", made by {' and '.join(makers)}" if makers else ""
        return SpaceMismatch(
            f"The collection {collection.name!r} holds vectors of space "
            f"{collection.space_id[:12]}{made_by}, and this node has {there} of other spaces: pull "
            "that version, index into another collection, or migrate this one.",
            metadata={"collection_space_id": collection.space_id},
        )
