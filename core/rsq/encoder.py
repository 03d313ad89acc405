"""A loaded tower on a device: its session, preprocessing and tokenizing as one.

ONNX Runtime runs an artifact of the format `onnx`, torch one of `torch-export`. The server
validates with this very code and the agent serves with it. Either runtime is imported when a tower
is opened, so that programs which only plan or talk stay quick.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsq.errors import BadInput, BadManifest, EnvironmentFault, InternalError
from rsq.images import load_pixel_values
from rsq.manifest import Manifest
from rsq.providers import CPU_PROVIDER, TORCH_CPU
from rsq.similarity import normalise
from rsq.text import TextTokenizer
from rsq.torch_tower import TORCH_FORMAT, TorchTower, import_torch

ONNX_FORMAT = "onnx"
# What runs an artifact of each format on a CPU, as the publisher does.
CPU_PROVIDERS = {ONNX_FORMAT: CPU_PROVIDER, TORCH_FORMAT: TORCH_CPU}
INPUT_NAMES = {"vision": "pixel_values", "text": "input_ids"}
OUTPUT_NAME = "embedding"


def available_providers() -> tuple[str, ...]:
    """Execution providers of the installed ONNX Runtime, the preferred first."""
    return tuple(_onnxruntime().get_available_providers())


def import_runtime(format: str) -> None:
    """Imports what opens artifacts of `format`. Raises EnvironmentFault when it is missing."""
    if format == TORCH_FORMAT:
        import_torch()
    else:
        _onnxruntime()


class TowerSession:
    """One ONNX graph in memory. `embed` may be called from several threads."""

    def __init__(self, graph: Path, *, input_name: str, provider: str, threads: int) -> None:
        ort = _onnxruntime()
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(str(graph), options, providers=[provider])
        except Exception as e:
            raise EnvironmentFault(
                f"ONNX Runtime can't load this artifact with {provider}: {_first_line(e)}"
            ) from e
        running = self._session.get_providers()[0]
        if running != provider:
            raise EnvironmentFault(f"Asked for {provider}, but ONNX Runtime runs {running}.")
        self._input_name = input_name

    def embed(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """float32 [n, 3, h, w] or int64 [n, max_length] -> float32 [n, dim], L2-normalised.

        Raises InternalError when the device fails or returns NaN or zeros.
        """
        try:
            (rows,) = self._session.run([OUTPUT_NAME], {self._input_name: inputs})
        except Exception as e:
            raise InternalError(f"Inference failed: {_first_line(e)}") from e
        return normalise(rows)


class Encoder:
    """A tower with its preprocessing or tokenizer, opened from the files of its artifact."""

    def __init__(
        self, folder: Path, manifest: Manifest, *, provider: str = CPU_PROVIDER, threads: int = 1
    ) -> None:
        """`folder` holds the manifest's files under their names."""
        self.manifest = manifest
        self._tokenizer = None
        if manifest.text is not None:
            self._tokenizer = TextTokenizer.open(
                folder / manifest.file("tokenizer").name, manifest.text
            )
        self._session = _open_session(folder, manifest, provider=provider, threads=threads)

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
    folder: Path, manifest: Manifest, *, provider: str, threads: int
) -> TowerSession | TorchTower:
    graph = folder / manifest.file("graph").name
    if manifest.format == ONNX_FORMAT:
        name = INPUT_NAMES[manifest.tower]
        return TowerSession(graph, input_name=name, provider=provider, threads=threads)
    if manifest.format == TORCH_FORMAT:
        return TorchTower(graph, provider=provider, threads=threads)
    raise BadManifest(
        f"The artifact has the format {manifest.format[:40]!r}; this rsq opens "
        f"{' and '.join(CPU_PROVIDERS)}. Upgrade rsq."
    )


def _onnxruntime() -> Any:
    # Its Linux builds report to their maker since 1.29, and read this when they are loaded.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime
    except ImportError as e:
        raise EnvironmentFault(
            "ONNX Runtime is not installed. Install one flavour: rsq-agent[cpu], rsq-agent[cuda] "
            "or rsq-agent[openvino]."
        ) from e
    return onnxruntime


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
