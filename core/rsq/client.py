"""The Python client of an agent.

from rsq.client import Client

with Client("127.0.0.1:7200") as client:
    vectors = client.embed_text(["port with large cargo ships"])
    hits = client.search(text="port with large cargo ships", k=5)
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from grpc_health.v1 import health_pb2, health_pb2_grpc
from numpy.typing import NDArray

from rsq.classification import LabelScore
from rsq.errors import BadInput, Exhausted, RsqError
from rsq.image_input import ITEMS_PER_CALL, ImageInput, group_images
from rsq.query_parts import make_parts
from rsq.retrieval import (
    DEFAULT_COLLECTION,
    CollectionExport,
    CollectionInfo,
    Diversity,
    IndexItem,
    IndexOutcome,
    Origin,
    QueryPart,
    SearchFilter,
    SearchHit,
    SearchOptions,
    StoredRecord,
)
from rsq.rpc.channel import open_channel, translate_errors
from rsq.rpc.collections import export_collection, import_records
from rsq.rpc.endpoint import Target, to_endpoint
from rsq.v1 import embedding_pb2, retrieval_pb2
from rsq.v1.embedding_pb2_grpc import EmbeddingStub
from rsq.v1.retrieval_pb2_grpc import CollectionsStub, RetrievalStub
from rsq.wire import retrieval as wire
from rsq.wire.embedding import ModelInfo, label_scores_from_pb, model_info_from_pb
from rsq.wire.search_query import search_to_pb
from rsq.wire.vectors import VectorType, type_to_pb, vectors_from_pb

CALL_SECONDS = 120.0


class Client:
    """Calls an agent at HOST:PORT. Methods may be called from several threads.

    Raises the rsq error that the agent names, Unreachable where nothing answers, and
    DeadlineExceeded after `timeout_seconds`. Embedding waits for an agent that is too busy, within
    that time. `model` is the one that embeds and classifies, by
    default the agent's; collections are of the agent's default model.
    """

    def __init__(
        self, target: Target, model: str | None = None, *, timeout_seconds: float = CALL_SECONDS
    ) -> None:
        self._endpoint = to_endpoint(target)
        self.target = self._endpoint.address
        self.model = model
        self._timeout = timeout_seconds
        self._channel = open_channel(self._endpoint)
        self._embedding = EmbeddingStub(self._channel)
        self._retrieval = RetrievalStub(self._channel)
        self._collections = CollectionsStub(self._channel)
        self._health = health_pb2_grpc.HealthStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._channel.close()

    def embed_text(
        self, texts: Sequence[str], *, dtype: VectorType = "float32"
    ) -> NDArray[np.float32]:
        """float32 [n, dim], L2-normalised; an empty list gives [0, dim]. With another `dtype` the
        agent rounds the vectors to it and sends fewer bytes."""
        if isinstance(texts, str):
            raise BadInput("embed_text takes a list of texts; wrap the one text in a list.")
        kind = _require_type(dtype)
        replies = []
        for start in range(0, len(texts), ITEMS_PER_CALL):
            request = embedding_pb2.EmbedTextRequest(
                texts=texts[start : start + ITEMS_PER_CALL], dtype=kind, model=self.model or ""
            )
            with _shift_index(start):
                replies.append(self._embed(self._embedding.EmbedText, request).vectors)
        return self._stack([vectors_from_pb(reply) for reply in replies])

    def embed_image(
        self, images: Sequence[ImageInput], *, dtype: VectorType = "float32"
    ) -> NDArray[np.float32]:
        """Encoded files, their paths or preprocessed pixels (float32 [3, h, w]) -> float32
        [n, dim], L2-normalised; `dtype` as for `embed_text`."""
        _require_list(images, "embed_image")
        kind = _require_type(dtype)
        replies = []
        for start, group in group_images(images):
            request = embedding_pb2.EmbedImageRequest(
                images=group, dtype=kind, model=self.model or ""
            )
            with _shift_index(start):
                replies.append(self._embed(self._embedding.EmbedImage, request).vectors)
        return self._stack([vectors_from_pb(reply) for reply in replies])

    def classify(
        self,
        images: Sequence[ImageInput],
        labels: Sequence[str],
        *,
        template: str = "",
        top: int = 0,
    ) -> list[list[LabelScore]]:
        """The `top` labels (0: all) of each image, best first. `template` has one {} for the label,
        as in "a satellite image of {}"; without it the label is the text."""
        _require_list(images, "classify")
        if isinstance(labels, str):
            raise BadInput("classify takes a list of labels; wrap the one label in a list.")
        if top < 0:
            raise BadInput(f"top is {top}; it is a number of labels, or 0 for all.")
        results = []
        for start, group in group_images(images):
            request = embedding_pb2.ClassifyRequest(
                images=group, labels=labels, template=template, top=top, model=self.model or ""
            )
            with _shift_index(start):
                reply = self._embed(self._embedding.Classify, request)
            results += [label_scores_from_pb(message) for message in reply.results]
        return results

    def search(
        self,
        *,
        text: str | Sequence[str] = (),
        image: bytes | str | Path | Sequence[bytes | str | Path] = (),
        vector: NDArray[Any] | None = None,
        like: str | Origin | Sequence[str | Origin] = (),
        negative: str | Sequence[str] = (),
        k: int = 10,
        offset: int = 0,
        min_score: float | None = None,
        filter: SearchFilter | None = None,
        per_uri: int = 0,
        diversity: Diversity | None = None,
        collapse_cosine: float | None = None,
        exact: bool = False,
        space_id: str = "",
        collection: str = DEFAULT_COLLECTION,
    ) -> list[SearchHit]:
        """The `k` nearest of `collection` to what is given, best first, after `offset` better ones.

        Texts, images, a `vector` float32 [dim] and stored images (`like`: uris or origins) are
        added up, `negative` texts lead away; `search_parts` takes other weights. A `vector` comes
        with the `space_id` of the model that made it. The rest is as in
        `rsq.retrieval.SearchOptions`.
        """
        parts = make_parts(text=text, image=image, vector=vector, like=like, negative=negative)
        options = SearchOptions(
            limit=k,
            offset=offset,
            min_score=min_score,
            filter=filter or SearchFilter(),
            per_uri=per_uri,
            diversity=diversity,
            collapse_cosine=collapse_cosine,
            exact=exact,
        )
        return self.search_parts(parts, options, space_id=space_id, collection=collection)

    def search_parts(
        self,
        parts: Sequence[QueryPart],
        options: SearchOptions | None = None,
        *,
        space_id: str = "",
        collection: str = DEFAULT_COLLECTION,
    ) -> list[SearchHit]:
        """As `search`, with a weight to each part."""
        if not space_id and any(part.vector is not None for part in parts):
            raise BadInput(
                "A query vector needs the space_id of the model that made it; info().space_id "
                "tells that of the model served here."
            )
        request = search_to_pb(
            parts, options or SearchOptions(), collection=collection, space_id=space_id
        )
        with translate_errors(self._endpoint):
            reply = self._retrieval.Search(request, timeout=self._timeout)
        return [wire.hit_from_pb(hit) for hit in reply.hits]

    def index(
        self, items: Iterable[IndexItem], *, collection: str = DEFAULT_COLLECTION
    ) -> Iterator[IndexOutcome]:
        """Streams images into `collection`; one outcome an item, in order. An outcome without an
        error means that the vector is on the agent's disk."""
        requests = (wire.index_item_to_pb(item, collection) for item in items)
        with translate_errors(self._endpoint):
            for reply in self._retrieval.Index(requests):
                yield wire.index_outcome_from_pb(reply)

    def find_stored(
        self, origins: Sequence[Origin], *, collection: str = DEFAULT_COLLECTION
    ) -> list[bool]:
        """For each of `origins` whether `collection` has it, with its stamp where it has one. At
        most 1000 a call."""
        request = retrieval_pb2.FindStoredRequest(
            collection=collection, origins=[wire.origin_to_pb(row) for row in origins]
        )
        with translate_errors(self._endpoint):
            return list(self._retrieval.FindStored(request, timeout=self._timeout).stored)

    def delete(self, uris: Sequence[str], *, collection: str = DEFAULT_COLLECTION) -> int:
        """Removes every vector of `uris` and returns how many there were."""
        request = retrieval_pb2.DeleteRequest(collection=collection, uris=uris)
        with translate_errors(self._endpoint):
            return self._retrieval.Delete(request, timeout=self._timeout).deleted

    def delete_outdated(
        self, origins: Sequence[Origin], *, collection: str = DEFAULT_COLLECTION
    ) -> int:
        """Removes the vectors of these uris that have another stamp, and returns how many there
        were. At most 1000 a call."""
        request = retrieval_pb2.DeleteRequest(
            collection=collection, outdated=[wire.origin_to_pb(row) for row in origins]
        )
        with translate_errors(self._endpoint):
            return self._retrieval.Delete(request, timeout=self._timeout).deleted

    def collections(self) -> list[CollectionInfo]:
        with translate_errors(self._endpoint):
            reply = self._retrieval.GetStats(retrieval_pb2.GetStatsRequest(), timeout=self._timeout)
        return [wire.collection_info_from_pb(stats) for stats in reply.collections]

    def export(self, collection: str = DEFAULT_COLLECTION) -> CollectionExport:
        """Every vector of `collection` with where it came from."""
        return export_collection(self._collections, self._endpoint, collection)

    def import_records(
        self,
        records: Iterable[StoredRecord],
        *,
        space_id: str,
        dimension: int,
        collection: str = DEFAULT_COLLECTION,
    ) -> Iterator[IndexOutcome]:
        """Streams vectors into `collection`, which is made where it isn't there; one outcome a
        record, in order, as from `index`. Records that are there are replaced."""
        return import_records(
            self._collections,
            self._endpoint,
            records,
            space_id=space_id,
            dimension=dimension,
            collection=collection,
        )

    def info(self) -> ModelInfo:
        """What the agent serves."""
        with translate_errors(self._endpoint):
            reply = self._embedding.GetModelInfo(
                embedding_pb2.GetModelInfoRequest(model=self.model or ""), timeout=self._timeout
            )
        return model_info_from_pb(reply)

    def is_serving(self) -> bool:
        """Whether the agent proved its artifacts and takes calls."""
        with translate_errors(self._endpoint):
            reply = self._health.Check(
                health_pb2.HealthCheckRequest(service="rsq.v1.Embedding"), timeout=self._timeout
            )
        return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)

    def _embed(self, call: Callable[..., Any], request: Any) -> Any:
        """Calls again when the agent says that it is too busy and for how long, until the timeout.
        Raises what the last call raised."""
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                with translate_errors(self._endpoint):
                    return call(request, timeout=max(deadline - time.monotonic(), 0))
            except Exhausted as e:
                if e.retry_after_seconds is None:
                    raise
                # Callers that were refused together come back apart.
                pause = e.retry_after_seconds * random.uniform(1, 1.5)  # noqa: S311
                if time.monotonic() + pause > deadline:
                    raise
                time.sleep(pause)

    def _stack(self, parts: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        if not parts:
            return np.empty((0, self.info().dimension), np.float32)
        return np.concatenate(parts)


def _require_list(images: Sequence[ImageInput], method: str) -> None:
    if isinstance(images, bytes | str | Path):
        raise BadInput(f"{method} takes a list of images; wrap the one image in a list.")


def _require_type(dtype: VectorType) -> embedding_pb2.DataType:
    try:
        return type_to_pb(dtype)
    except KeyError as e:
        raise BadInput(f"The dtype {dtype!r} is not float32, float16 or int8.") from e


@contextmanager
def _shift_index(start: int) -> Iterator[None]:
    """An error names the item's index in its call; makes it the index in the caller's list."""
    try:
        yield
    except RsqError as e:
        if start and (index := e.metadata.get("index")) is not None:
            place = str(int(index) + start)
            e.message = e.message.replace(f"item {index}:", f"item {place}:", 1)
            e.args = (e.message,)
            e.metadata["index"] = place
        raise
