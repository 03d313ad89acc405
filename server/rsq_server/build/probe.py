"""Recording the golden probe that a node replays before it serves an artifact."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsq.encoder import Encoder
from rsq.errors import GateRefused
from rsq.manifest import ProbeSpec
from rsq.probe import Probe, ProbeResult
from rsq.similarity import normalise, row_cosines
from rsq_server.build.artifact import BuiltArtifact, refuse_broken
from rsq_server.build.breaks import break_images, break_outputs, break_texts
from rsq_server.build.probe_inputs import PROBE_TEXTS, probe_images
from rsq_server.build.workers import available_workers

# How far (1 - cosine) another device may round from the publisher: this much at least, and up to as
# much as the artifact's own precision already moved the vector. Measured on a trained SigLIP:
# another number of threads or other kernels (graph optimizations off) 1e-8 to 5e-8; pixels rounded
# to half precision or off by 0.4 levels of 255, as another decoder gives, 1e-7 to 1e-6 in FP32 and
# FP16, 3e-5 in INT8, whose roundings flip. The closest broken pipeline stands at 4e-2.
OWN_ROUNDING = 1e-3
# A mistake that leaves every vector this close to FP32's is none for this model, such as the
# padding of a tower that never looks at it.
HARMLESS_COSINE = 0.999
_DECIMALS = 6


@dataclass(frozen=True)
class ProbeReference:
    """What all variants of one tower are probed with: the inputs, FP32's outputs float32 [n, dim],
    and the broken pipeline that comes closest to them, by its worst cosine."""

    images: tuple[bytes, ...]
    texts: tuple[str, ...]
    fp32: NDArray[np.float32]
    closest_break: str
    closest_cosine: float


def prepare_reference(artifact: BuiltArtifact) -> ProbeReference:
    """Runs the FP32 artifact on the probe's inputs, healthy and broken.

    Raises GateRefused when the checkpoint returns NaN, or gives the same vector whatever it sees.
    """
    is_vision = artifact.tower == "vision"
    images, texts = (probe_images(), ()) if is_vision else ((), PROBE_TEXTS)
    encoder = artifact.open(threads=1)
    inputs = _prepare(encoder, images, texts)
    fp32 = _embed(artifact, encoder, inputs)
    closest, worst = "none", -1.0
    for name, rows in _broken_rows(artifact, encoder, inputs, fp32):
        cosine = float(row_cosines(rows, fp32).min())
        if worst < cosine <= HARMLESS_COSINE:
            closest, worst = name, cosine
    if closest == "none":
        raise GateRefused(
            f"The checkpoint's {artifact.tower} tower gives the same vector whatever it is shown."
        )
    return ProbeReference(images, texts, fp32, closest, worst)


def record_probe(artifact: BuiltArtifact, reference: ProbeReference) -> tuple[Probe, ProbeSpec]:
    """The probe of `artifact`, computed with one thread, one input at a time, and its tolerances.

    `fp32_cosine_min` lies halfway between this artifact and the closest broken pipeline. Raises
    GateRefused for an artifact that is NaN or constant, depends on its batch mates, or is no closer
    to FP32 than a broken pipeline.
    """
    encoder = artifact.open(threads=1)
    inputs = _prepare(encoder, reference.images, reference.texts)
    own = _embed(artifact, encoder, inputs)
    with refuse_broken(artifact):
        together = encoder.embed_prepared(inputs)
    healthy = ProbeResult(
        own_cosine_min=float(row_cosines(together, own).min()),
        fp32_cosine_min=min(
            float(row_cosines(rows, reference.fp32).min()) for rows in (own, together)
        ),
    )
    distance = max(1 - healthy.fp32_cosine_min, OWN_ROUNDING)
    spec = ProbeSpec(
        own_cosine_min=round(1 - distance, _DECIMALS),
        fp32_cosine_min=round((healthy.fp32_cosine_min + reference.closest_cosine) / 2, _DECIMALS),
    )
    _check_separation(artifact, reference, healthy, spec)
    return Probe(reference.images, reference.texts, reference.fp32, own), spec


def _check_separation(
    artifact: BuiltArtifact, reference: ProbeReference, healthy: ProbeResult, spec: ProbeSpec
) -> None:
    if healthy.own_cosine_min < spec.own_cosine_min:
        raise GateRefused(
            f"The artifact {artifact} gives other vectors in a batch than alone: cosine "
            f"{healthy.own_cosine_min:.6f}, needed {spec.own_cosine_min:.6f}."
        )
    # The artifact must stay on the healthy side after another device's rounding.
    if healthy.fp32_cosine_min - OWN_ROUNDING <= spec.fp32_cosine_min:
        raise GateRefused(
            f"The artifact {artifact} is no closer to FP32 (cosine {healthy.fp32_cosine_min:.6f}) "
            f"than a broken pipeline, {reference.closest_break} ({reference.closest_cosine:.6f})."
        )


def _prepare(encoder: Encoder, images: tuple[bytes, ...], texts: tuple[str, ...]) -> NDArray[Any]:
    if images:
        return np.stack([encoder.prepare_image(data) for data in images])
    return encoder.prepare_texts(texts)


def _embed(artifact: BuiltArtifact, encoder: Encoder, inputs: NDArray[Any]) -> NDArray[np.float32]:
    """One input at a time, so that a row does not depend on the others or on how many run at once,
    each with the session's one thread."""

    def embed(row: NDArray[Any]) -> NDArray[np.float32]:
        return encoder.embed_prepared(row[None])

    with refuse_broken(artifact), ThreadPoolExecutor(available_workers()) as pool:
        return np.concatenate(list(pool.map(embed, inputs)))


def _broken_rows(
    artifact: BuiltArtifact, encoder: Encoder, inputs: NDArray[Any], fp32: NDArray[np.float32]
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    manifest = artifact.manifest
    if manifest.image is not None:
        broken: Iterator[tuple[str, NDArray[Any]]] = break_images(inputs, manifest.image)
    else:
        assert manifest.text is not None
        broken = break_texts(inputs, manifest.text)
    for name, wrong in broken:
        yield name, _embed(artifact, encoder, np.ascontiguousarray(wrong, inputs.dtype))
    for name, rows in break_outputs(fp32):
        yield name, normalise(np.asarray(rows, np.float32))
