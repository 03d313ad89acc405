"""The calibration set as a tower sees it: prepared inputs in memory, and FP32's answers to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsq.encoder import INPUT_NAMES
from rsq.manifest import TOWERS, Tower
from rsq.onnx_session import TowerSession
from rsq.providers import CPU_PROVIDER
from rsq.similarity import row_cosines
from rsq_server.build.calibration import Preparer, choose_calibration
from rsq_server.build.external_data import GRAPH_NAME
from rsq_server.build.metrics import OVERLAP_AT
from rsq_server.build.mixed import Agreement
from rsq_server.build.neighbours import find_nearest, shared_share
from rsq_server.build.workers import available_workers
from rsq_server.datasets.image_text_set import ImageTextSet

BATCH = 4
# Images and texts: for towers up to LARGE_BYTES in FP32, where each takes milliseconds, and above.
MANY, FEW = (512, 1024), (64, 256)
LARGE_BYTES = 100_000_000
MAX_IMAGE_BYTES = 512 << 20  # of all prepared images together
# Neighbours among the first five lie about half as far apart as the first and the second: the order
# of a calibration set's five is as easily lost as the first hit of an archive twice its size.
ORDER_AT = 5


@dataclass(frozen=True)
class CalibrationRows:
    """`inputs` of one tower, and FP32's L2-normalised vectors: `own` [n, dim] of these inputs, and
    `other` [m, dim] of the other tower's. `digest` goes into the lineage."""

    tower: Tower
    digest: str
    inputs: NDArray[Any]
    own: NDArray[np.float32]
    other: NDArray[np.float32]

    def batches(self) -> Iterator[NDArray[Any]]:
        return (self.inputs[start : start + BATCH] for start in range(0, len(self.inputs), BATCH))

    def agree(self, folder: Path, *, limit: int | None = None) -> Agreement:
        """How the tower in `folder` agrees with FP32 on the first `limit` inputs, searching images
        by texts with the other tower in FP32."""
        own = self.own[:limit]
        rows = embed_tower(folder, self.tower, self.inputs[:limit])
        expected, found = self._nearest(own), self._nearest(rows)
        return Agreement(
            embedding_error=float(1 - row_cosines(own, rows).mean(dtype=np.float64)),
            overlap=float(shared_share(expected, found).mean()),
            order=self._kept_order(rows, expected[:, :ORDER_AT]),
        )

    def _nearest(self, own: NDArray[np.float32]) -> NDArray[np.int64]:
        images, texts = self._sides(own)
        return find_nearest(images, texts, min(OVERLAP_AT, len(images)))

    def _kept_order(self, own: NDArray[np.float32], expected: NDArray[np.int64]) -> float:
        """Of the neighbours in each row of `expected` [q, k], the share that `own` ranks alike."""
        images, texts = self._sides(own)
        scores = np.einsum("qd,qkd->qk", texts, images[expected])
        return float((scores[:, :-1] > scores[:, 1:]).mean())

    def _sides(self, own: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The images and the texts."""
        return (own, self.other) if self.tower == "vision" else (self.other, own)


def read_calibration(
    dataset: ImageTextSet, preparer: Preparer, exports: Mapping[Tower, Path]
) -> dict[Tower, CalibrationRows]:
    """What both towers see of `dataset`; `exports` are their FP32 graphs. Fewer inputs where each
    costs more, and never more images than MAX_IMAGE_BYTES holds.

    Raises BadSource naming an image that can't be read any more.
    """
    weights_bytes = sum(file.stat().st_size for file in exports["vision"].iterdir())
    images, texts = FEW if weights_bytes > LARGE_BYTES else MANY
    first = next(choose_calibration(dataset, images=1, texts=1).inputs("vision", preparer))
    images = min(images, max(1, MAX_IMAGE_BYTES // first.nbytes), max(FEW[0], len(dataset.samples)))
    chosen = choose_calibration(dataset, images=images, texts=texts)
    inputs = {tower: np.concatenate(list(chosen.inputs(tower, preparer))) for tower in TOWERS}
    vectors = {tower: embed_tower(exports[tower], tower, inputs[tower]) for tower in TOWERS}
    others: dict[Tower, Tower] = {"vision": "text", "text": "vision"}
    return {
        tower: CalibrationRows(
            tower, chosen.digest, inputs[tower], vectors[tower], vectors[others[tower]]
        )
        for tower in TOWERS
    }


def embed_tower(folder: Path, tower: Tower, inputs: NDArray[Any]) -> NDArray[np.float32]:
    """float32 [n, dim], L2-normalised, one input at a time with a thread each."""
    session = TowerSession(
        folder / GRAPH_NAME, input_name=INPUT_NAMES[tower], provider=CPU_PROVIDER, threads=1
    )
    with ThreadPoolExecutor(available_workers()) as pool:
        return np.concatenate(list(pool.map(lambda row: session.embed(row[None]), inputs)))
