"""A tower that torch runs: an exported program (`.pt2`) on the CPU or on CUDA.

torch is imported when a program is opened, and only then: nodes without the `torch` extra never
need it. docs/decisions/0011-torch-native-artifacts.md says what a program may hold.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsq.errors import EnvironmentFault, Exhausted, InternalError, RsqError
from rsq.provider_options import NO_RULES, DeviceRules
from rsq.providers import TORCH_CPU, TORCH_CUDA
from rsq.similarity import normalise
from rsq.torch_archive import check_archive

TORCH_FORMAT = "torch-export"
PROGRAM_NAME = "model.pt2"
_DEVICES = {TORCH_CPU: "cpu", TORCH_CUDA: "cuda"}


def torch_providers(*, gpu: bool) -> tuple[str, ...]:
    """What the installed torch runs programs on, the preferred first; nothing without torch.

    torch is imported, which takes seconds, only where `gpu` says that there is one.
    """
    if importlib.util.find_spec("torch") is None:
        return ()
    if gpu and import_torch().cuda.is_available():
        return (TORCH_CUDA, TORCH_CPU)
    return (TORCH_CPU,)


def import_torch() -> Any:
    """torch with what loads programs. Raises EnvironmentFault when it is missing or broken."""
    try:
        import torch
        import torch.export.passes
        import torch.export.pt2_archive
    except ImportError as e:
        raise EnvironmentFault(
            "This artifact runs in torch, which is not installed. Install rsq-agent[torch], or "
            "pull a variant for ONNX Runtime."
        ) from e
    except OSError as e:  # a CUDA library that is not there
        raise EnvironmentFault(f"torch is installed but can't be loaded: {_first_line(e)}") from e
    return torch


def return_cuda_memory() -> None:
    """Gives the GPU back what torch keeps for later. Imports nothing: without torch in the process
    there is nothing to give."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


class TorchTower:
    """One exported program in memory. `embed` may be called from several threads.

    `threads` holds for the CPU and for this tower's calls only: torch counts threads by calling
    thread, so each call sets the number and puts the old one back.
    """

    notice: str | None = None  # as TowerSession's; torch never leaves its device by itself

    def __init__(
        self, program: Path, *, provider: str, threads: int, rules: DeviceRules = NO_RULES
    ) -> None:
        """`rules.memory_bytes` caps what torch takes of CUDA in this whole process, since torch
        knows no other cap: the last tower's holds.

        Raises EnvironmentFault when torch or its device is missing or can't load the program,
        IntegrityError for a program that holds more than `rsq.torch_archive` allows.
        """
        if provider not in _DEVICES:
            raise EnvironmentFault(
                f"This artifact runs on {' or '.join(_DEVICES)}, not on {provider}."
            )
        self.provider = provider
        self._torch = import_torch()
        self._device = _DEVICES[provider]
        self._threads = threads
        if provider == TORCH_CUDA and not self._torch.cuda.is_available():
            raise EnvironmentFault(
                "Asked for TorchCUDA, but torch finds no CUDA device here. It needs an NVIDIA GPU, "
                "its driver and a build of torch for CUDA."
            )
        if provider == TORCH_CUDA and rules.memory_bytes is not None:
            total = self._torch.cuda.get_device_properties(0).total_memory
            share = min(rules.memory_bytes / total, 1.0)
            self._torch.cuda.set_per_process_memory_fraction(share)
        try:
            self._module = self._load(program)
        except RsqError:
            raise
        except Exception as e:  # a damaged archive fails anywhere in torch
            raise EnvironmentFault(
                f"torch can't load this artifact with {provider}: {_first_line(e)}"
            ) from e

    def embed(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """float32 [n, 3, h, w] or int64 [n, max_length] -> float32 [n, dim], L2-normalised.

        Raises Exhausted when the device has no memory left for it, InternalError when the device
        fails or returns NaN or zeros.
        """
        torch = self._torch
        try:
            with torch.inference_mode(), self._own_threads():
                rows = self._module(torch.tensor(inputs, device=self._device))
                found = rows.cpu().numpy()
        except torch.OutOfMemoryError as e:
            raise Exhausted(
                f"{len(inputs)} items at once need more GPU memory than torch may take. Raise "
                "--vram or lower --max-batch."
            ) from e
        except Exception as e:
            raise InternalError(f"Inference failed: {_first_line(e)}") from e
        return normalise(found)

    def _load(self, path: Path) -> Any:
        torch = self._torch
        reader = torch.export.pt2_archive.PT2ArchiveReader(str(path))
        check_archive(reader.get_file_names(), reader.read_bytes)
        program = torch.export.load(path)
        if self._device != "cpu":
            program = torch.export.passes.move_to_device_pass(program, self._device)
        # The guards would be compiled from text, and the caller prepares inputs of one shape.
        return program.module(check_guards=False)

    @contextmanager
    def _own_threads(self) -> Iterator[None]:
        before = self._torch.get_num_threads()
        if before == self._threads:
            yield
            return
        self._torch.set_num_threads(self._threads)
        try:
            yield
        finally:
            self._torch.set_num_threads(before)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
