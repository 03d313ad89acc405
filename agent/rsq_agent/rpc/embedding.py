"""rsq.v1.Embedding."""

from __future__ import annotations

from collections.abc import Iterator

import grpc

from rsq.errors import BadInput, RsqError
from rsq.manifest import Tower
from rsq.v1 import embedding_pb2 as pb
from rsq.v1.embedding_pb2_grpc import EmbeddingServicer
from rsq.wire.embedding import ModelInfo, ServedTower, model_info_to_pb
from rsq.wire.retrieval import item_error_to_pb
from rsq.wire.vectors import type_from_pb, vectors_to_pb
from rsq_agent.embedding import (
    Caller,
    EmbedResult,
    RawPixels,
    embed_each,
    embed_images,
    embed_texts,
)
from rsq_agent.rpc.calls import caller_of, read_in_groups
from rsq_agent.serving import LiveModel, Serving


class Embedding(EmbeddingServicer):
    def __init__(self, serving: Serving, *, node_id: str, device: str) -> None:
        self._serving = serving
        self._node_id = node_id
        self._device = device

    def EmbedText(
        self, request: pb.EmbedTextRequest, context: grpc.ServicerContext
    ) -> pb.EmbedTextResponse:
        kind = type_from_pb(request.dtype)
        with self._serving.lease() as model:
            result = embed_texts(model, request.texts, caller_of(context))
            return pb.EmbedTextResponse(
                vectors=vectors_to_pb(result.rows, kind),
                space_id=model.manifest.space_id,
                artifact_id=result.artifact_id,
                timing=timing_to_pb(result),
            )

    def EmbedImage(
        self, request: pb.EmbedImageRequest, context: grpc.ServicerContext
    ) -> pb.EmbedImageResponse:
        kind = type_from_pb(request.dtype)
        images = [_image(image) for image in request.images]
        with self._serving.lease() as model:
            result = embed_images(model, images, caller_of(context))
            return pb.EmbedImageResponse(
                vectors=vectors_to_pb(result.rows, kind),
                space_id=model.manifest.space_id,
                artifact_id=result.artifact_id,
                timing=timing_to_pb(result),
            )

    def EmbedStream(
        self, request_iterator: Iterator[pb.EmbedStreamRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.EmbedStreamResponse]:
        index = 0
        for group in read_in_groups(request_iterator):
            with self._serving.lease() as model:
                replies = _embed_group(model, group, caller_of(context))
            for reply in replies:
                reply.index = index
                yield reply
                index += 1

    def GetModelInfo(
        self, request: pb.GetModelInfoRequest, context: grpc.ServicerContext
    ) -> pb.GetModelInfoResponse:
        with self._serving.lease() as model:
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


def _embed_group(
    model: LiveModel, group: list[pb.EmbedStreamRequest], caller: Caller
) -> list[pb.EmbedStreamResponse]:
    """Replies in the order of `group`, whose items may mix texts and images."""
    replies = [pb.EmbedStreamResponse(space_id=model.manifest.space_id) for _ in group]
    kinds: tuple[tuple[Tower, str], ...] = (("text", "text"), ("vision", "image"))
    for tower, kind in kinds:
        places = [i for i, request in enumerate(group) if request.WhichOneof("item") == kind]
        if not places:
            continue
        live = model.tower(tower)
        items = [group[i].text if kind == "text" else _image(group[i].image) for i in places]
        for i, result in zip(places, embed_each(model, tower, items, caller), strict=True):
            if isinstance(result, RsqError):
                replies[i].error.CopyFrom(item_error_to_pb(result))
            else:
                replies[i].vector.CopyFrom(vectors_to_pb(result[None], "float32"))
                replies[i].artifact_id = live.artifact_id
    for request, reply in zip(group, replies, strict=True):
        if request.WhichOneof("item") is None:
            error = BadInput("The item is neither a text nor an image.")
            reply.error.CopyFrom(item_error_to_pb(error))
    return replies


def timing_to_pb(result: EmbedResult) -> pb.Timing:
    return pb.Timing(
        queue_ms=result.queue_ms,
        preprocess_ms=result.preprocess_ms,
        inference_ms=result.inference_ms,
    )


def _image(message: pb.Image) -> bytes | RawPixels:
    kind = message.WhichOneof("content")
    if kind == "encoded":
        return message.encoded
    if kind == "raw":
        return RawPixels(message.raw.data)
    raise BadInput("An image is neither an encoded file nor raw pixels.")


def _served_towers(model: LiveModel) -> Iterator[ServedTower]:
    for name, tower in sorted(model.towers.items(), reverse=True):
        yield ServedTower(
            tower=name,
            artifact_id=tower.artifact_id,
            variant=tower.manifest.variant,
            provider=tower.provider,
            workers=1,
            threads=tower.threads,
            batch_invariant=tower.manifest.batch_invariant,
            max_batch=tower.batcher.max_batch,
            probe_own_cosine_min=tower.probe.own_cosine_min,
            probe_fp32_cosine_min=tower.probe.fp32_cosine_min,
        )
