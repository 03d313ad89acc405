"""Calls of an agent whose replies are compared with what the named artifact should answer; and how
memory goes over time."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsq.encoder import Encoder
from rsq.rpc.channel import open_channel
from rsq.v1 import embedding_pb2 as pb
from rsq.v1.embedding_pb2_grpc import EmbeddingStub
from rsq.wire.vectors import vectors_from_pb

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from tiny_artifacts import WORDS, TinyArtifact, encode_image

TEXTS = 256
IMAGES = 32
TOLERANCE = 1e-4
SEED = 20261123


class Checked:
    """Calls of one agent whose replies are compared. Texts and images take turns."""

    def __init__(self, address: str, artifacts: list[TinyArtifact]) -> None:
        chance = np.random.default_rng(SEED)
        self.texts = [" ".join(chance.choice(WORDS, 6)) for _ in range(TEXTS)]
        colors = chance.integers(0, 256, (IMAGES, 3)).tolist()
        self.images = [encode_image((red, green, blue)) for red, green, blue in colors]
        self._rows = {artifact.id: self._embed(artifact) for artifact in artifacts}
        self._channel = open_channel(address)
        self._stub = EmbeddingStub(self._channel)
        self._lock = threading.Lock()
        self.replies: Counter[str] = Counter()  # by artifact
        self.failures: list[str] = []
        self.wrong = 0

    def call(self, number: int) -> None:
        try:
            if number % 2:
                place = number // 2 % TEXTS
                text = pb.EmbedTextRequest(texts=[self.texts[place]])
                reply: Any = self._stub.EmbedText(text, timeout=60)
            else:
                place = number // 2 % IMAGES
                image = pb.EmbedImageRequest(images=[pb.Image(encoded=self.images[place])])
                reply = self._stub.EmbedImage(image, timeout=60)
        except Exception as e:  # noqa: BLE001 - every kind of failure counts
            with self._lock:
                self.failures.append(str(e)[:300])
            return
        known = self._rows[reply.artifact_id][place]
        right = np.abs(vectors_from_pb(reply.vectors)[0] - known).max() < TOLERANCE
        with self._lock:
            self.replies[reply.artifact_id] += 1
            self.wrong += not right

    def close(self) -> None:
        self._channel.close()

    def _embed(self, artifact: TinyArtifact) -> NDArray[np.float32]:
        encoder = Encoder(artifact.folder, artifact.manifest)
        if artifact.manifest.tower == "text":
            return encoder.embed_texts(self.texts)
        return encoder.embed_images(self.images)


def fit_line(resident: list[int], first: int) -> dict[str, float]:
    """Least squares over the cycles from `first` on."""
    at = np.arange(first, len(resident), dtype=float)
    values = np.array(resident[first:], dtype=float)
    (slope, start), covariance = np.polyfit(at, values, 1, cov=True)
    return {
        "first_cycle": first,
        "bytes_per_cycle": float(slope),
        "standard_error_bytes": float(np.sqrt(covariance[0, 0])),
        "residual_standard_deviation_bytes": float((values - slope * at - start).std()),
        "min_bytes": float(values.min()),
        "max_bytes": float(values.max()),
    }
