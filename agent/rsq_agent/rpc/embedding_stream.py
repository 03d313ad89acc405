"""Groups of an embedding stream's items, for `calls.overlap`."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

from rsq.errors import BadInput, NotFound, RsqError
from rsq.manifest import Tower
from rsq.v1 import embedding_pb2 as pb
from rsq.wire.retrieval import item_error_to_pb
from rsq.wire.vectors import vectors_to_pb
from rsq_agent.inference.embedding import Caller, PendingItems, RawPixels
from rsq_agent.inference.live_model import LiveModel
from rsq_agent.inference.serving import Serving


class GroupStarter:
    """Starts a group on the models that its items name."""

    def __init__(self, serving: Serving, caller: Caller) -> None:
        self._serving = serving
        self._caller = caller

    def __call__(self, group: list[pb.EmbedStreamRequest]) -> EmbeddingGroup | Answered:
        places: dict[str, list[int]] = {}
        for place, item in enumerate(group):
            places.setdefault(item.model, []).append(place)
        if len(places) == 1:
            return self._start(group)
        # One model after the other: a thread that holds one must not wait for another.
        replies = [pb.EmbedStreamResponse()] * len(group)
        for chosen in places.values():
            answers = self._start([group[place] for place in chosen]).finish()
            for place, reply in zip(chosen, answers, strict=True):
                replies[place] = reply
        return Answered(replies)

    def _start(self, group: list[pb.EmbedStreamRequest]) -> EmbeddingGroup | Answered:
        """The items of `group` name one model."""
        with ExitStack() as stack:
            name = group[0].model
            lease = self._serving.lease(name or None, timeout_seconds=self._caller.timeout_seconds)
            try:
                model = stack.enter_context(lease)
            except NotFound as e:
                error = item_error_to_pb(e)
                return Answered([pb.EmbedStreamResponse(error=error) for _ in group])
            return EmbeddingGroup(model, group, self._caller, stack)


@dataclass(frozen=True)
class Answered:
    """A group whose replies are there already."""

    replies: list[pb.EmbedStreamResponse]

    def finish(self) -> list[pb.EmbedStreamResponse]:
        return self.replies

    def discard(self) -> None:
        pass


class EmbeddingGroup:
    """Items of a stream on their way, texts and images mixed."""

    def __init__(
        self, model: LiveModel, group: list[pb.EmbedStreamRequest], caller: Caller, held: ExitStack
    ) -> None:
        """Once this has returned `held` is closed at the end: it keeps `model` loaded."""
        self._model = model
        self._group = group
        self._errors: dict[int, RsqError] = {}
        self._pending: list[tuple[Tower, list[int], PendingItems]] = []
        chosen: dict[Tower, dict[int, str | bytes | RawPixels]] = {"text": {}, "vision": {}}
        for place, request in enumerate(group):
            try:
                kind = request.WhichOneof("item")
                if kind == "text":
                    chosen["text"][place] = request.text
                elif kind == "image":
                    chosen["vision"][place] = image_from_pb(request.image)
                else:
                    raise BadInput("The item is neither a text nor an image.")
            except BadInput as e:
                self._errors[place] = e
        for tower, items in chosen.items():
            if items:
                pending = PendingItems(model, tower, list(items.values()), caller)
                held.callback(pending.discard)
                self._pending.append((tower, list(items), pending))
        self._held = held.pop_all()

    def finish(self) -> list[pb.EmbedStreamResponse]:
        """One reply an item, in the order of the group."""
        space_id = self._model.manifest.space_id
        replies = [pb.EmbedStreamResponse(space_id=space_id) for _ in self._group]
        with self._held:
            for tower, places, pending in self._pending:
                artifact_id = self._model.tower(tower).artifact_id
                for place, result in zip(places, pending.collect(), strict=True):
                    if isinstance(result, RsqError):
                        self._errors[place] = result
                    else:
                        replies[place].vector.CopyFrom(vectors_to_pb(result[None], "float32"))
                        replies[place].artifact_id = artifact_id
        for place, error in self._errors.items():
            replies[place].error.CopyFrom(item_error_to_pb(error))
        return replies

    def discard(self) -> None:
        self._held.close()


def image_from_pb(message: pb.Image) -> bytes | RawPixels:
    """Raises BadInput when the message holds neither."""
    kind = message.WhichOneof("content")
    if kind == "encoded":
        return message.encoded
    if kind == "raw":
        return RawPixels(message.raw.data)
    raise BadInput("An image is neither an encoded file nor raw pixels.")
