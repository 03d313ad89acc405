"""rsq.v1.Retrieval."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack

import grpc
import numpy as np
from numpy.typing import NDArray

from rsq.errors import BadInput, RsqError
from rsq.manifest import ScoringSpec
from rsq.retrieval import (
    DEFAULT_COLLECTION,
    CollectionInfo,
)
from rsq.similarity import probabilities
from rsq.v1 import embedding_pb2
from rsq.v1 import retrieval_pb2 as pb
from rsq.v1.retrieval_pb2_grpc import RetrievalServicer
from rsq.wire import retrieval as wire
from rsq.wire.search_query import query_part_from_pb, search_options_from_pb
from rsq_agent.cache import Cache
from rsq_agent.collections.collection_interface import VectorCollection, VectorCollections
from rsq_agent.collections.query import check_parts
from rsq_agent.collections.query_parts import make_query
from rsq_agent.collections.search import check_options, find_hits
from rsq_agent.collections.sharing import check_sharing
from rsq_agent.indexing.indexing_group import IndexingGroup
from rsq_agent.inference.live_model import LiveModel
from rsq_agent.inference.serving import Serving
from rsq_agent.inference.spaces import Spaces
from rsq_agent.rpc.calls import caller_of, overlap

MAX_ORIGINS = 1000
log = logging.getLogger("rsq.agent")


class Retrieval(RetrievalServicer):
    def __init__(self, serving: Serving, collections: VectorCollections, cache: Cache) -> None:
        self._serving = serving
        self._collections = collections
        self._cache = cache
        self._spaces = Spaces(cache, serving)
        # One at a time: building a graph takes a core for seconds.
        self._optimizer = ThreadPoolExecutor(1, thread_name_prefix="optimizer")

    def close(self) -> None:
        self._optimizer.shutdown(cancel_futures=True)

    def optimize_later(self, collection: VectorCollection) -> None:
        self._optimizer.submit(optimize_quietly, collection)

    def Index(
        self, request_iterator: Iterator[pb.IndexRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.IndexResponse]:
        filled: list[VectorCollection] = []  # one, once the first item has arrived
        allowed: set[str] = set()  # artifacts that were found to belong into it

        def start(group: list[pb.IndexRequest]) -> IndexingGroup:
            name = group[0].collection or DEFAULT_COLLECTION
            if any((request.collection or DEFAULT_COLLECTION) != name for request in group):
                raise BadInput("One stream fills one collection.")
            items = [wire.index_item_from_pb(request) for request in group]
            with ExitStack() as stack:
                model = stack.enter_context(self._lease_for(name))
                artifact_id = model.tower("vision").artifact_id
                collection = self._collections.open_or_create(
                    name,
                    space_id=model.manifest.space_id,
                    dimension=model.manifest.dimension,
                )
                if artifact_id not in allowed:
                    check_sharing(self._cache, artifact_id, collection)
                    allowed.add(artifact_id)
                filled[:] = [collection]
                return IndexingGroup(model, collection, items, caller_of(context), stack)

        for outcomes in overlap(request_iterator, start):
            for outcome in outcomes:
                yield wire.index_outcome_to_pb(outcome)
        for collection in filled:
            self.optimize_later(collection)

    def Search(self, request: pb.SearchRequest, context: grpc.ServicerContext) -> pb.SearchResponse:
        options = search_options_from_pb(request)
        parts = [query_part_from_pb(part) for part in request.parts]
        check_options(options)
        check_parts(parts)
        collection = self._collections.open(request.collection or DEFAULT_COLLECTION)
        with self._spaces.lease_for(collection) as model:
            space_id = model.manifest.space_id
            query = make_query(
                model, collection, parts, space_id=request.space_id, caller=caller_of(context)
            )
            started = time.perf_counter()
            hits = find_hits(collection, query.vector, space_id=space_id, options=options)
            search_ms = (time.perf_counter() - started) * 1000
            scores = np.array([hit.score for hit in hits])
            chances = _chances(scores, model.manifest.scoring)
            return pb.SearchResponse(
                hits=[
                    wire.hit_to_pb(hit.score, chance, hit.uri, hit.artifact_id, hit.payload)
                    for hit, chance in zip(hits, chances, strict=True)
                ],
                space_id=space_id,
                timing=embedding_pb2.Timing(
                    queue_ms=query.queue_ms,
                    preprocess_ms=query.preprocess_ms,
                    inference_ms=query.inference_ms,
                ),
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
        outdated = [wire.origin_from_pb(message) for message in request.outdated]
        if len(outdated) > MAX_ORIGINS:
            raise BadInput(f"{len(outdated)} origins in one call, over the limit of {MAX_ORIGINS}.")
        deleted = collection.delete(list(request.uris))
        return pb.DeleteResponse(deleted=deleted + collection.delete_outdated(outdated))

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

    def _lease_for(self, name: str) -> AbstractContextManager[LiveModel]:
        """The model that fills the collection: of its space, or the current one for a new one."""
        if name not in self._collections.names():
            return self._serving.lease()
        return self._spaces.lease_for(self._collections.open(name))


def optimize_quietly(collection: VectorCollection) -> None:
    """Builds the search graph where enough vectors wait for it. Search is exact until then, so a
    failure costs speed only."""
    try:
        collection.optimize()
    except RsqError as e:
        log.warning("the collection %s was not optimized: %s", collection.name, e)


def _chances(scores: NDArray[np.float64], scoring: ScoringSpec) -> list[float]:
    """SigLIP judges each pair by itself; CLIP's softmax says nothing of one pair, so 0 there."""
    if scoring.kind != "sigmoid":
        return [0.0] * len(scores)
    return [float(chance) for chance in probabilities(scores, scoring)]
