"""What a served model is to callers of the Open Inference Protocol: up to three models, one a kind
of input, by the names NAME-vision, NAME-image and NAME-text."""

from __future__ import annotations

from typing import Literal

from rsq.errors import NotFound
from rsq.kserve import inference_pb2 as pb
from rsq.manifest import Manifest, Tower
from rsq.reference import MAX_NAME_CHARACTERS
from rsq_agent.inference.embedding import MAX_ITEMS
from rsq_agent.rpc.kserve_tensors import Datatype, TensorSpec, quote

Kind = Literal["vision", "image", "text"]
KINDS: dict[Tower, tuple[Kind, ...]] = {"vision": ("image", "vision"), "text": ("text",)}
TOWERS: dict[Kind, Tower] = {kind: tower for tower, kinds in KINDS.items() for kind in kinds}
_DATA_TYPES: dict[Datatype, pb.DataType] = {"BYTES": pb.TYPE_STRING, "FP32": pb.TYPE_FP32}


def split_name(name: str) -> tuple[str, Kind]:
    """The rsq model and the kind of input of NAME-KIND. Raises NotFound."""
    model, _, kind = name.rpartition("-")
    if not model or kind not in TOWERS or len(model) > MAX_NAME_CHARACTERS:
        raise unknown(name)
    return model, kind


def unknown(name: str) -> NotFound:
    return NotFound(
        f"There is no model {quote(name)} here; the names are NAME-vision, NAME-image and "
        "NAME-text, and RepositoryIndex lists them."
    )


def input_of(kind: Kind, manifest: Manifest) -> TensorSpec:
    """`manifest` is of the kind's tower."""
    if kind == "vision":
        assert manifest.image is not None
        return TensorSpec("pixel_values", "FP32", (3, manifest.image.height, manifest.image.width))
    return TensorSpec(kind, "BYTES")


def output_of(manifest: Manifest) -> TensorSpec:
    return TensorSpec("embedding", "FP32", (manifest.dimension,))


def metadata_to_pb(
    name: str, version: int, kind: Kind, manifest: Manifest
) -> pb.ModelMetadataResponse:
    return pb.ModelMetadataResponse(
        name=name,
        versions=[str(version)],
        platform=_platform(manifest),
        inputs=[_tensor_to_pb(input_of(kind, manifest))],
        outputs=[_tensor_to_pb(output_of(manifest))],
    )


def config_to_pb(name: str, kind: Kind, manifest: Manifest) -> pb.ModelConfig:
    takes, gives = input_of(kind, manifest), output_of(manifest)
    return pb.ModelConfig(
        name=name,
        platform=_platform(manifest),
        backend="rsq",
        max_batch_size=MAX_ITEMS,
        input=[
            pb.ModelInput(name=takes.name, data_type=_DATA_TYPES[takes.datatype], dims=takes.dims)
        ],
        output=[
            pb.ModelOutput(name=gives.name, data_type=_DATA_TYPES[gives.datatype], dims=gives.dims)
        ],
    )


def _tensor_to_pb(spec: TensorSpec) -> pb.ModelMetadataResponse.TensorMetadata:
    return pb.ModelMetadataResponse.TensorMetadata(
        name=spec.name, datatype=spec.datatype, shape=spec.shape
    )


def _platform(manifest: Manifest) -> str:
    return f"rsq_{manifest.format}"
