"""rsq.v1.Retrieval."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import grpc
import numpy as np
from numpy.typing import NDArray

from rsq.errors import BadInput, RsqError, SpaceMismatch
from rsq.manifest import ScoringSpec
from rsq.retrieval import (
    DEFAULT_COLLECTION,
    CollectionInfo,
    SearchHit,
    payload_from_json,
)
from rsq.similarity import probabilities
from rsq.v1 import embedding_pb2
from rsq.v1 import retrieval_pb2 as pb
from rsq.v1.retrieval_pb2_grpc import RetrievalServicer
from rsq.wire import retrieval as wire
from rsq.wire.search_query import query_part_from_pb
from rsq_agent.collection import Collection
from rsq_agent.collection_store import CollectionStore
from rsq_agent.embedding import Caller, EmbedResult, embed_images, embed_texts
from rsq_agent.indexing import IndexingGroup
from rsq_agent.live_model import LiveModel
from rsq_agent.rpc.calls import caller_of, overlap
from rsq_agent.rpc.embedding import timing_to_pb
from rsq_agent.serving import Serving

MAX_HITS = 1000
MAX_ORIGINS = 1000
log = logging.getLogger("rsq.agent")


class Retrieval(RetrievalServicer):
    def __init__(self, serving: Serving, collections: CollectionStore) -> None:
        self._serving = serving
        self._collections = collections
        # One at a time: building a graph takes a core for seconds.
        self._optimizer = ThreadPoolExecutor(1, thread_name_prefix="optimizer")

    def close(self) -> None:
        self._optimizer.shutdown(cancel_futures=True)

    def Index(
        self, request_iterator: Iterator[pb.IndexRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.IndexResponse]:
        filled: list[Collection] = []  # one, once the first item has arrived

        def start(group: list[pb.IndexRequest]) -> IndexingGroup:
            name = group[0].collection or DEFAULT_COLLECTION
            if any((request.collection or DEFAULT_COLLECTION) != name for request in group):
                raise BadInput("One stream fills one collection.")
            items = [wire.index_item_from_pb(request) for request in group]
            with ExitStack() as stack:
                model = stack.enter_context(self._serving.lease())
                model.tower("vision")
                collection = self._collections.open_or_create(
                    name,
                    space_id=model.manifest.space_id,
                    dimension=model.manifest.dimension,
                )
                filled[:] = [collection]
                return IndexingGroup(model, collection, items, caller_of(context), stack)

        for outcomes in overlap(request_iterator, start):
            for outcome in outcomes:
                yield wire.index_outcome_to_pb(outcome)
        for collection in filled:
            self._optimizer.submit(optimize_quietly, collection)

    def Search(self, request: pb.SearchRequest, context: grpc.ServicerContext) -> pb.SearchResponse:
        limit = request.limit or 10
        if limit > MAX_HITS:
            raise BadInput(f"{limit} hits in one call, over the limit of {MAX_HITS}.")
        with self._serving.lease() as model:
            collection = self._collections.open(request.collection or DEFAULT_COLLECTION)
            vector, timing = _query(model, request, caller_of(context))
            started = time.perf_counter()
            hits = collection.search(
                vector, space_id=model.manifest.space_id, limit=limit, offset=request.offset
            )
            search_ms = (time.perf_counter() - started) * 1000
            scores = np.array([hit.score for hit in hits])
            chances = _chances(scores, model.manifest.scoring)
            return pb.SearchResponse(
                hits=[
                    wire.hit_to_pb(
                        SearchHit(
                            hit.score,
                            chance,
                            hit.uri,
                            payload_from_json(hit.payload),
                            hit.artifact_id,
                        )
                    )
                    for hit, chance in zip(hits, chances, strict=True)
                ],
                space_id=model.manifest.space_id,
                timing=timing,
                search_ms=search_ms,
            )

    def FindStored(
        self, request: pb.FindStoredRequest, context: grpc.ServicerContext
    ) -> pb.FindStoredResponse:
        if len(request.origins) > MAX_ORIGINS:
            raise BadInput(
                f"{len(request.origins)} origins in one call, over the limit of {MAX_ORIGINS}."
            )
        origins = [wire.origin_from_pb(message) for message in request.origins]
        name = request.collection or DEFAULT_COLLECTION
        if name not in self._collections.names():
            return pb.FindStoredResponse(stored=[False] * len(origins))
        return pb.FindStoredResponse(stored=self._collections.open(name).find_stored(origins))

    def Delete(self, request: pb.DeleteRequest, context: grpc.ServicerContext) -> pb.DeleteResponse:
        collection = self._collections.open(request.collection or DEFAULT_COLLECTION)
        return pb.DeleteResponse(deleted=collection.delete(list(request.uris)))

    def GetStats(
        self, request: pb.GetStatsRequest, context: grpc.ServicerContext
    ) -> pb.GetStatsResponse:
        names = [request.collection] if request.collection else self._collections.names()
        rows = []
        for name in names:
            stats = self._collections.open(name).stats()
            rows.append(
                CollectionInfo(
                    name,
                    stats.space_id,
                    stats.dimension,
                    stats.points,
                    stats.bytes_on_disk,
                    stats.artifacts,
                )
            )
        return pb.GetStatsResponse(collections=[wire.collection_info_to_pb(row) for row in rows])


def optimize_quietly(collection: Collection) -> None:
    """Builds the search graph where enough vectors wait for it. Search is exact until then, so a
    failure costs speed only."""
    try:
        collection.optimize()
    except RsqError as e:
        log.warning("the collection %s was not optimized: %s", collection.name, e)


def _query(
    model: LiveModel, request: pb.SearchRequest, caller: Caller
) -> tuple[NDArray[np.float32], embedding_pb2.Timing]:
    """The query vector, float32 [dim], and how long it took to make."""
    parts = [query_part_from_pb(part) for part in request.parts]
    if len(parts) != 1:
        raise BadInput(f"A search takes one text, image or vector, not {len(parts)}.")
    (part,) = parts
    if part.text is not None:
        result: EmbedResult = embed_texts(model, [part.text], caller)
    elif part.image is not None:
        result = embed_images(model, [part.image], caller)
    elif part.vector is not None:
        if request.space_id != model.manifest.space_id:
            raise SpaceMismatch(
                "The query vector is of another embedding space than the model served here."
            )
        return part.vector, embedding_pb2.Timing()
    else:
        raise BadInput("A search needs a text, an image or a vector.")
    return result.rows[0], timing_to_pb(result)


def _chances(scores: NDArray[np.float64], scoring: ScoringSpec) -> list[float]:
    """SigLIP judges each pair by itself; CLIP's softmax says nothing of one pair, so 0 there."""
    if scoring.kind != "sigmoid":
        return [0.0] * len(scores)
    return [float(chance) for chance in probabilities(scores, scoring)]
