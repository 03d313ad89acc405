"""The golden probe: a few generated inputs with the outputs they must give.

The publisher records the FP32 outputs and the artifact's own; the node replays the inputs through
its whole pipeline, decoding and tokenizing included, before it serves.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsq.encoder import Encoder
from rsq.errors import IntegrityError, ProbeFailed, RsqError
from rsq.manifest import ProbeSpec, canonical_json
from rsq.similarity import row_cosines

PROBE_SCHEMA = 1
MAX_PROBE_BYTES = 16 << 20
# Run together as well: enough to show a dependence on batch mates, and a start waits for each.
BATCH_ITEMS = 3


@dataclass(frozen=True)
class Probe:
    """`images` are encoded files, `texts` strings; one of the two is empty. `fp32` and `own` are
    float32 [n, dim], L2-normalised."""

    images: tuple[bytes, ...]
    texts: tuple[str, ...]
    fp32: NDArray[np.float32]
    own: NDArray[np.float32]


@dataclass(frozen=True)
class ProbeResult:
    """The worst cosine over the probe's inputs against the publisher's and the FP32 outputs."""

    own_cosine_min: float
    fp32_cosine_min: float


def encode_probe(probe: Probe) -> bytes:
    return canonical_json(
        {
            "schema": PROBE_SCHEMA,
            "images": [base64.b64encode(data).decode() for data in probe.images],
            "texts": list(probe.texts),
            "dimension": int(probe.fp32.shape[1]),
            "fp32": base64.b64encode(probe.fp32.astype("<f4").tobytes()).decode(),
            "own": base64.b64encode(probe.own.astype("<f4").tobytes()).decode(),
        }
    )


def decode_probe(data: bytes) -> Probe:
    """Raises IntegrityError for anything `encode_probe` would not have written."""
    if len(data) > MAX_PROBE_BYTES:
        raise IntegrityError(f"The golden probe has {len(data)} bytes, over {MAX_PROBE_BYTES}.")
    try:
        fields = json.loads(data)
        if fields["schema"] > PROBE_SCHEMA:
            raise IntegrityError("The golden probe is of a newer release; upgrade rsq.")
        images = tuple(base64.b64decode(item, validate=True) for item in fields["images"])
        texts = tuple(str(item) for item in fields["texts"])
        shape = (len(images) + len(texts), int(fields["dimension"]))
        fp32, own = (
            np.frombuffer(base64.b64decode(fields[key], validate=True), "<f4").reshape(shape)
            for key in ("fp32", "own")
        )
    except (ArithmeticError, ValueError, KeyError, TypeError, RecursionError) as e:
        raise IntegrityError("The golden probe is malformed.") from e
    if bool(images) == bool(texts):
        raise IntegrityError("The golden probe needs either images or texts.")
    return Probe(images, texts, fp32, own)


def prepare(encoder: Encoder, probe: Probe) -> NDArray[Any]:
    """The probe's inputs through decoding or tokenizing: float32 [n, 3, h, w] or int64
    [n, max_length]. Raises what the encoder raises."""
    if probe.images:
        return np.stack([encoder.prepare_image(data) for data in probe.images])
    return encoder.prepare_texts(probe.texts)


def replay(encoder: Encoder, probe: Probe) -> ProbeResult:
    """Runs the probe one item at a time and a few as a batch, and keeps the worst cosines.

    Raises ProbeFailed when the pipeline does not even answer.
    """
    try:
        inputs = prepare(encoder, probe)
        alone = np.concatenate([encoder.embed_prepared(row[None]) for row in inputs])
        together = encoder.embed_prepared(inputs[:BATCH_ITEMS])
    except RsqError as e:
        raise ProbeFailed(f"The golden probe could not run on this device: {e}") from e
    if alone.shape != probe.own.shape:
        raise ProbeFailed(
            f"The artifact returns vectors of {alone.shape[1]} values, its probe "
            f"{probe.own.shape[1]}."
        )
    runs = (alone, together)
    return ProbeResult(
        own_cosine_min=min(_worst(rows, probe.own) for rows in runs),
        fp32_cosine_min=min(_worst(rows, probe.fp32) for rows in runs),
    )


def _worst(rows: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    return float(row_cosines(rows, expected[: len(rows)]).min())


def judge(result: ProbeResult, spec: ProbeSpec) -> None:
    """Raises ProbeFailed unless both tolerances hold."""
    # `not >=` also refuses NaN.
    if not result.own_cosine_min >= spec.own_cosine_min:
        raise ProbeFailed(
            "This device does not compute what the publisher did: golden probe cosine "
            f"{result.own_cosine_min:.6f}, needed {spec.own_cosine_min:.6f}."
        )
    if not result.fp32_cosine_min >= spec.fp32_cosine_min:
        raise ProbeFailed(
            "The embeddings are too far from FP32's: golden probe cosine "
            f"{result.fp32_cosine_min:.6f}, needed {spec.fp32_cosine_min:.6f}."
        )
