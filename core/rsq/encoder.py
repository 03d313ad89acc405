"""A loaded tower on a device: its session, preprocessing and tokenizing as one.

ONNX Runtime runs an artifact of the format `onnx`, torch one of `torch-export`. The server
validates with this very code and the agent serves with it. Either runtime is imported when a tower
is opened, so that programs which only plan or talk stay quick.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsq.errors import BadInput, BadManifest
from rsq.images import load_pixel_values
from rsq.manifest import Manifest
from rsq.onnx_session import TowerSession, import_onnxruntime
from rsq.provider_options import NO_RULES, DeviceRules
from rsq.providers import CPU_PROVIDER, TORCH_CPU
from rsq.text import TextTokenizer
from rsq.torch_tower import TORCH_FORMAT, TorchTower, import_torch

ONNX_FORMAT = "onnx"
# What runs an artifact of each format on a CPU, as the publisher does.
CPU_PROVIDERS = {ONNX_FORMAT: CPU_PROVIDER, TORCH_FORMAT: TORCH_CPU}
INPUT_NAMES = {"vision": "pixel_values", "text": "input_ids"}


def import_runtime(format: str) -> None:
    """Imports what opens artifacts of `format`. Raises EnvironmentFault when it is missing."""
    if format == TORCH_FORMAT:
        import_torch()
    else:
        import_onnxruntime()


class Encoder:
    """A tower with its preprocessing or tokenizer, opened from the files of its artifact."""

    def __init__(
        self,
        folder: Path,
        manifest: Manifest,
        *,
        provider: str = CPU_PROVIDER,
        threads: int = 1,
        rules: DeviceRules = NO_RULES,
    ) -> None:
        """`folder` holds the manifest's files under their names. Raises CpuFallback,
        EnvironmentFault, IntegrityError or BadManifest."""
        self.manifest = manifest
        self._tokenizer = None
        if manifest.text is not None:
            self._tokenizer = TextTokenizer.open(
                folder / manifest.file("tokenizer").name, manifest.text
            )
        self._session = _open_session(folder, manifest, provider, threads, rules)

    @property
    def provider(self) -> str:
        """What runs the tower; the CPU, where `rules` allowed it and nothing else could."""
        return self._session.provider

    @property
    def notice(self) -> str | None:
        """A sentence that says what runs on the CPU though it was asked for elsewhere."""
        return self._session.notice

    def prepare_texts(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """int64 [n, max_length]. Raises BadInput naming the text at fault."""
        if self._tokenizer is None:
            raise BadInput("This is a vision tower; it embeds images only.")
        return self._tokenizer.encode(texts)

    def prepare_image(self, data: bytes) -> NDArray[np.float32]:
        """float32 [3, h, w] of an encoded image file. Raises BadImage."""
        if self.manifest.image is None:
            raise BadInput("This is a text tower; it embeds texts only.")
        return load_pixel_values(data, self.manifest.image)

    def embed_prepared(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """Rows of `prepare_*` stacked -> float32 [n, dim], L2-normalised.

        An artifact whose scales depend on its batch mates runs one item at a time, so a vector
        never depends on who else was asked for.
        """
        if self.manifest.batch_invariant or len(inputs) == 1:
            return self._session.embed(inputs)
        return np.concatenate([self._session.embed(row[None]) for row in inputs])

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self.embed_prepared(self.prepare_texts(texts))

    def embed_images(self, images: Sequence[bytes]) -> NDArray[np.float32]:
        return self.embed_prepared(np.stack([self.prepare_image(data) for data in images]))


def _open_session(
    folder: Path, manifest: Manifest, provider: str, threads: int, rules: DeviceRules
) -> TowerSession | TorchTower:
    graph = folder / manifest.file("graph").name
    if manifest.format == ONNX_FORMAT:
        return TowerSession(
            graph,
            input_name=INPUT_NAMES[manifest.tower],
            provider=provider,
            threads=threads,
            rules=rules,
        )
    if manifest.format == TORCH_FORMAT:
        return TorchTower(graph, provider=provider, threads=threads, rules=rules)
    raise BadManifest(
        f"The artifact has the format {manifest.format[:40]!r}; this rsq opens "
        f"{' and '.join(CPU_PROVIDERS)}. Upgrade rsq."
    )
