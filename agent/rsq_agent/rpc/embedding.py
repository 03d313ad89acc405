"""rsq.v1.Embedding."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager

import grpc

from rsq.request_id import current_request_id
from rsq.v1 import embedding_pb2 as pb
from rsq.v1.embedding_pb2_grpc import EmbeddingServicer
from rsq.wire.embedding import ModelInfo, ServedTower, label_scores_to_pb, model_info_to_pb
from rsq.wire.vectors import type_from_pb, vectors_to_pb
from rsq_agent.inference.classify import Classified, classify_images
from rsq_agent.inference.embedding import EmbedResult, embed_images, embed_texts
from rsq_agent.inference.live_model import LiveModel
from rsq_agent.inference.serving import Serving
from rsq_agent.rpc.calls import caller_of, overlap
from rsq_agent.rpc.embedding_stream import GroupStarter, image_from_pb


class Embedding(EmbeddingServicer):
    def __init__(self, serving: Serving, *, node_id: str, device: str) -> None:
        self._serving = serving
        self._node_id = node_id
        self._device = device

    def EmbedText(
        self, request: pb.EmbedTextRequest, context: grpc.ServicerContext
    ) -> pb.EmbedTextResponse:
        kind = type_from_pb(request.dtype)
        with self._lease(request.model, context) as model:
            result = embed_texts(model, request.texts, caller_of(context))
            return pb.EmbedTextResponse(
                vectors=vectors_to_pb(result.rows, kind),
                space_id=model.manifest.space_id,
                artifact_id=result.artifact_id,
                timing=timing_to_pb(result),
                model=model.activation.model,
                version=model.activation.version,
                request_id=current_request_id(),
            )

    def EmbedImage(
        self, request: pb.EmbedImageRequest, context: grpc.ServicerContext
    ) -> pb.EmbedImageResponse:
        kind = type_from_pb(request.dtype)
        images = [image_from_pb(image) for image in request.images]
        with self._lease(request.model, context) as model:
            result = embed_images(model, images, caller_of(context))
            return pb.EmbedImageResponse(
                vectors=vectors_to_pb(result.rows, kind),
                space_id=model.manifest.space_id,
                artifact_id=result.artifact_id,
                timing=timing_to_pb(result),
                model=model.activation.model,
                version=model.activation.version,
                request_id=current_request_id(),
            )

    def EmbedStream(
        self, request_iterator: Iterator[pb.EmbedStreamRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.EmbedStreamResponse]:
        start = GroupStarter(self._serving, caller_of(context))
        index = 0
        for replies in overlap(request_iterator, start):
            for reply in replies:
                reply.index = index
                yield reply
                index += 1

    def Classify(
        self, request: pb.ClassifyRequest, context: grpc.ServicerContext
    ) -> pb.ClassifyResponse:
        images = [image_from_pb(image) for image in request.images]
        with self._lease(request.model, context) as model:
            classified = classify_images(
                model,
                images,
                list(request.labels),
                template=request.template,
                top=request.top,
                caller=caller_of(context),
            )
            return pb.ClassifyResponse(
                results=[label_scores_to_pb(scores) for scores in classified.results],
                space_id=model.manifest.space_id,
                vision_artifact_id=classified.vision_artifact_id,
                text_artifact_id=classified.text_artifact_id,
                timing=timing_to_pb(classified),
                model=model.activation.model,
                version=model.activation.version,
                request_id=current_request_id(),
            )

    def GetModelInfo(
        self, request: pb.GetModelInfoRequest, context: grpc.ServicerContext
    ) -> pb.GetModelInfoResponse:
        with self._lease(request.model, context) as model:
            return model_info_to_pb(
                ModelInfo(
                    model=model.activation.model,
                    version=model.activation.version,
                    space_id=model.manifest.space_id,
                    dimension=model.manifest.dimension,
                    towers=tuple(_served_towers(model)),
                    node_id=self._node_id,
                    device=self._device,
                )
            )

    def _lease(self, name: str, context: grpc.ServicerContext) -> AbstractContextManager[LiveModel]:
        seconds = caller_of(context).timeout_seconds
        return self._serving.lease(name or None, timeout_seconds=seconds)


def timing_to_pb(result: EmbedResult | Classified) -> pb.Timing:
    return pb.Timing(
        queue_ms=result.queue_ms,
        preprocess_ms=result.preprocess_ms,
        inference_ms=result.inference_ms,
    )


def _served_towers(model: LiveModel) -> Iterator[ServedTower]:
    for name, tower in sorted(model.towers.items(), reverse=True):
        yield ServedTower(
            tower=name,
            artifact_id=tower.artifact_id,
            variant=tower.manifest.variant,
            provider=tower.provider,
            workers=tower.batcher.pace.workers,
            threads=tower.batcher.pace.threads,
            batch_invariant=tower.manifest.batch_invariant,
            max_batch=tower.max_batch,
            probe_own_cosine_min=tower.probe.own_cosine_min,
            probe_fp32_cosine_min=tower.probe.fp32_cosine_min,
        )
