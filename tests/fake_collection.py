"""A collection in memory that takes items as an agent does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from rsq.errors import NotFound, RsqError
from rsq.images import decode_image
from rsq.retrieval import IndexItem, IndexOutcome, Origin, Window


class FakeCollection:
    """Holds items by uri and window. `on_item` runs before an item is stored; what it raises ends
    the stream, as a full disk does."""

    def __init__(self) -> None:
        self.items: dict[tuple[str, Window | None], IndexItem] = {}
        self.received: list[IndexItem] = []
        self.on_item: Callable[[IndexItem], None] = lambda item: None
        self.unreachable: RsqError | None = None

    def index(self, items: Iterable[IndexItem], *, collection: str) -> Iterator[IndexOutcome]:
        for item in items:
            self.on_item(item)
            self.received.append(item)
            try:
                decode_image(item.image)
            except RsqError as e:
                yield IndexOutcome(item.uri, e)
                continue
            self.items[item.uri, item.payload.window] = item
            yield IndexOutcome(item.uri, None)

    def find_stored(self, origins: Sequence[Origin], *, collection: str) -> list[bool]:
        assert len(origins) <= 1000
        if self.unreachable is not None:
            raise self.unreachable
        found = [self.items.get((origin.uri, origin.window)) for origin in origins]
        return [
            item is not None and item.payload.stamp == origin.stamp
            for item, origin in zip(found, origins, strict=True)
        ]

    def delete_outdated(self, origins: Sequence[Origin], *, collection: str) -> int:
        if not self.received:
            raise NotFound("There is no such collection.")
        stamps = {origin.uri: origin.stamp for origin in origins}
        outdated = [
            key
            for key, item in self.items.items()
            if key[0] in stamps and item.payload.stamp != stamps[key[0]]
        ]
        for key in outdated:
            del self.items[key]
        return len(outdated)
