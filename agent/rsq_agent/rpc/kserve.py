"""inference.GRPCInferenceService: the Open Inference Protocol (KServe v2), for Triton's clients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version as installed_version

import grpc

from rsq.errors import BadInput, NotFound, RsqError
from rsq.kserve import inference_pb2 as pb
from rsq.kserve.inference_pb2_grpc import GRPCInferenceServiceServicer
from rsq.manifest import Manifest
from rsq_agent.cache import Cache
from rsq_agent.inference.embedding import Caller, EmbedResult, embed_images, embed_texts
from rsq_agent.inference.live_model import LiveModel
from rsq_agent.inference.serving import Serving
from rsq_agent.inference.slots import Served
from rsq_agent.rpc.calls import caller_of
from rsq_agent.rpc.kserve_models import (
    KINDS,
    TOWERS,
    Kind,
    config_to_pb,
    input_of,
    metadata_to_pb,
    output_of,
    split_name,
    unknown,
)
from rsq_agent.rpc.kserve_tensors import (
    files_from_pb,
    pixels_from_pb,
    quote,
    require_outputs,
    rows_to_pb,
    texts_from_pb,
)
from rsq_agent.state import Activation

EXTENSIONS = ("model_repository", "model_configuration")


class KServe(GRPCInferenceServiceServicer):
    def __init__(self, serving: Serving, cache: Cache, *, is_ready: Callable[[], bool]) -> None:
        """`is_ready`: whether requests that name the default model are answered without a wait."""
        self._serving = serving
        self._cache = cache
        self._is_ready = is_ready

    def ServerLive(
        self, request: pb.ServerLiveRequest, context: grpc.ServicerContext
    ) -> pb.ServerLiveResponse:
        return pb.ServerLiveResponse(live=True)

    def ServerReady(
        self, request: pb.ServerReadyRequest, context: grpc.ServicerContext
    ) -> pb.ServerReadyResponse:
        return pb.ServerReadyResponse(ready=self._is_ready())

    def ModelReady(
        self, request: pb.ModelReadyRequest, context: grpc.ServicerContext
    ) -> pb.ModelReadyResponse:
        """As Triton answers: a model that isn't there is not ready."""
        try:
            found = self._find(request.name, request.version)
        except NotFound:
            return pb.ModelReadyResponse(ready=False)
        return pb.ModelReadyResponse(ready=found.served.live is not None)

    def ServerMetadata(
        self, request: pb.ServerMetadataRequest, context: grpc.ServicerContext
    ) -> pb.ServerMetadataResponse:
        return pb.ServerMetadataResponse(
            name="rsq-agent", version=installed_version("rsq-agent"), extensions=EXTENSIONS
        )

    def ModelMetadata(
        self, request: pb.ModelMetadataRequest, context: grpc.ServicerContext
    ) -> pb.ModelMetadataResponse:
        found = self._find(request.name, request.version)
        version = found.served.activation.version
        return metadata_to_pb(request.name, version, found.kind, found.manifest)

    def ModelConfig(
        self, request: pb.ModelConfigRequest, context: grpc.ServicerContext
    ) -> pb.ModelConfigResponse:
        found = self._find(request.name, request.version)
        config = config_to_pb(request.name, found.kind, found.manifest)
        return pb.ModelConfigResponse(config=config)

    def ModelInfer(
        self, request: pb.ModelInferRequest, context: grpc.ServicerContext
    ) -> pb.ModelInferResponse:
        return self._infer(request, caller_of(context))

    def ModelStreamInfer(
        self, request_iterator: Iterator[pb.ModelInferRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.ModelStreamInferResponse]:
        for request in request_iterator:
            try:
                reply = pb.ModelStreamInferResponse(
                    infer_response=self._infer(request, caller_of(context))
                )
            except RsqError as e:
                reply = pb.ModelStreamInferResponse(
                    error_message=e.message,
                    infer_response=pb.ModelInferResponse(
                        model_name=request.model_name, id=request.id
                    ),
                )
            yield reply

    def RepositoryIndex(
        self, request: pb.RepositoryIndexRequest, context: grpc.ServicerContext
    ) -> pb.RepositoryIndexResponse:
        _require_only_repository(request.repository_name)
        return pb.RepositoryIndexResponse(
            models=[
                _index_to_pb(served, kind)
                for served in self._serving.models()
                if served.live is not None or not request.ready
                for manifest in self._manifests(served.activation)
                for kind in KINDS[manifest.tower]
            ]
        )

    def RepositoryModelLoad(
        self, request: pb.RepositoryModelLoadRequest, context: grpc.ServicerContext
    ) -> pb.RepositoryModelLoadResponse:
        """All towers of the rsq model at once."""
        _require_only_repository(request.repository_name)
        if request.parameters:
            raise BadInput("A model is loaded as it was pulled; leave out config and files.")
        model = self._find(request.model_name).served.activation.model
        with self._serving.lease(model, timeout_seconds=caller_of(context).timeout_seconds):
            return pb.RepositoryModelLoadResponse()

    def RepositoryModelUnload(
        self, request: pb.RepositoryModelUnloadRequest, context: grpc.ServicerContext
    ) -> pb.RepositoryModelUnloadResponse:
        """All towers of the rsq model at once. Parameters have no meaning here."""
        _require_only_repository(request.repository_name)
        self._serving.unload(self._find(request.model_name).served.activation.model)
        return pb.RepositoryModelUnloadResponse()

    def _infer(self, request: pb.ModelInferRequest, caller: Caller) -> pb.ModelInferResponse:
        name, kind = split_name(request.model_name)
        with self._serving.lease(name, timeout_seconds=caller.timeout_seconds) as model:
            _require_version(request.model_name, request.model_version, model.activation)
            if TOWERS[kind] not in model.towers:
                raise unknown(request.model_name)
            manifest = model.tower(TOWERS[kind]).manifest
            output = output_of(manifest)
            require_outputs(request, output)
            result = _embed(model, kind, request, caller)
            reply = pb.ModelInferResponse(
                model_name=request.model_name,
                model_version=str(model.activation.version),
                id=request.id,
            )
            reply.parameters["space_id"].string_param = manifest.space_id
        reply.parameters["artifact_id"].string_param = result.artifact_id
        reply.parameters["queue_ms"].double_param = result.queue_ms
        reply.parameters["preprocess_ms"].double_param = result.preprocess_ms
        reply.parameters["inference_ms"].double_param = result.inference_ms
        rows_to_pb(result.rows, output, reply)
        return reply

    def _find(self, name: str, version: str = "") -> Found:
        """Loads nothing. Raises NotFound."""
        model, kind = split_name(name)
        for served in self._serving.models():
            if served.activation.model == model:
                _require_version(name, version, served.activation)
                for manifest in self._manifests(served.activation):
                    if manifest.tower == TOWERS[kind]:
                        return Found(served, kind, manifest)
        raise unknown(name)

    def _manifests(self, activation: Activation) -> list[Manifest]:
        """From disk: they are there whether or not the model is in memory."""
        return [self._cache.manifest(artifact_id) for artifact_id in activation.artifacts]


@dataclass(frozen=True)
class Found:
    """A model by its name here; `manifest` is of its tower."""

    served: Served
    kind: Kind
    manifest: Manifest


def _embed(
    model: LiveModel, kind: Kind, request: pb.ModelInferRequest, caller: Caller
) -> EmbedResult:
    spec = input_of(kind, model.tower(TOWERS[kind]).manifest)
    if kind == "text":
        return embed_texts(model, texts_from_pb(request, spec), caller)
    images = files_from_pb(request, spec) if kind == "image" else pixels_from_pb(request, spec)
    return embed_images(model, images, caller)


def _index_to_pb(served: Served, kind: Kind) -> pb.RepositoryIndexResponse.ModelIndex:
    state, reason = "READY", ""
    if served.live is None:
        state = "LOADING" if served.is_arriving else "UNAVAILABLE"
        reason = "Not in memory; a request that names it loads it."
    return pb.RepositoryIndexResponse.ModelIndex(
        name=f"{served.activation.model}-{kind}",
        version=str(served.activation.version),
        state=state,
        reason=reason,
    )


def _require_version(name: str, version: str, activation: Activation) -> None:
    """An empty `version` is any. Raises NotFound."""
    if version not in ("", str(activation.version)):
        raise NotFound(
            f"{quote(name)} has version {activation.version} here, not {quote(version)}; pull "
            "that version or leave it out."
        )


def _require_only_repository(name: str) -> None:
    if name:
        raise BadInput("This agent has one repository, without a name; leave the name out.")
