"""One ONNX graph in ONNX Runtime, on the provider that was asked for and on no other."""

from __future__ import annotations

import contextlib
import io
import os
import re
import threading
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsq.device_class import CPU, CPU_WITHOUT_VNNI
from rsq.errors import CpuFallback, EnvironmentFault, Exhausted, InternalError
from rsq.integer_products import adds_exactly
from rsq.placement import Fallback, find_fallback
from rsq.provider_options import NO_RULES, DeviceRules, provider_chain
from rsq.providers import (
    CPU_PROVIDER,
    GPU_PROVIDERS,
    OPENVINO_PROVIDER,
    TENSORRT_PROVIDER,
    short_name,
)
from rsq.similarity import normalise

OUTPUT_NAME = "embedding"
_PRELOADING = threading.Lock()
_FATAL = 4  # what goes wrong is raised, and printed once by whoever catches it
_PREFIX = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")
_OUT_OF_MEMORY = ("Failed to allocate memory", "is smaller than requested bytes", "out of memory")


def import_onnxruntime() -> Any:
    """Raises EnvironmentFault when no flavour is installed."""
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


def available_providers() -> tuple[str, ...]:
    """Execution providers of the installed ONNX Runtime, the preferred first."""
    return tuple(import_onnxruntime().get_available_providers())


def cpu_class() -> str:
    """The device class of this machine's CPU. Raises EnvironmentFault as `session_options` does."""
    return CPU if adds_exactly(import_onnxruntime()) else CPU_WITHOUT_VNNI


def session_options(threads: int) -> Any:
    """Options under which an INT8 graph computes on every CPU what it was made to.

    Raises EnvironmentFault when no flavour of ONNX Runtime is installed.
    """
    ort = import_onnxruntime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = _FATAL
    if not adds_exactly(ort):
        # It makes int8 weights uint8, whose products the runtime adds exactly. With VNNI it would
        # do so too, and each product would take twice as long for nothing.
        options.add_session_config_entry("session.x64quantprecision", "1")
    return options


class TowerSession:
    """One graph in memory. `embed` may be called from several threads.

    `provider` is what runs it: what was asked for, or the CPU where the rules allow that. `notice`
    says in a sentence what then runs on the CPU after all; None where nothing that matters does.
    """

    provider: str
    notice: str | None

    def __init__(
        self,
        graph: Path,
        *,
        input_name: str,
        provider: str,
        threads: int,
        rules: DeviceRules = NO_RULES,
    ) -> None:
        """Raises CpuFallback when the graph would run on the CPU though it was asked for
        elsewhere, and EnvironmentFault when it can't be loaded at all."""
        self._input_name = input_name
        self.provider, self.notice = provider, None
        try:
            self._session = _open(graph, provider, threads, rules)
            fallback = _find_fallback(self._session, provider)
        except EnvironmentFault as e:
            if not rules.allow_cpu or provider == CPU_PROVIDER:
                raise
            self._session = _open(graph, CPU_PROVIDER, threads, rules)
            self.provider = CPU_PROVIDER
            self.notice = f"It runs on the CPU: {e.message}"
            return
        if fallback is None:
            return
        if not rules.allow_cpu:
            del self._session
            raise CpuFallback(
                f"Asked for {short_name(provider)}, but {fallback.reason}. Pull another variant "
                "or add --allow-cpu."
            )
        self.notice = f"Not all of it runs on {short_name(provider)}: {fallback.reason}."
        if fallback.is_whole:
            self.provider = CPU_PROVIDER

    def embed(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """float32 [n, 3, h, w] or int64 [n, max_length] -> float32 [n, dim], L2-normalised.

        Raises Exhausted when the device has no memory left for it, InternalError when the device
        fails or returns NaN or zeros.
        """
        try:
            (rows,) = self._session.run([OUTPUT_NAME], {self._input_name: inputs})
        except Exception as e:
            if _is_out_of_memory(e):
                raise Exhausted(
                    f"{len(inputs)} items at once need more memory than this tower may take on "
                    f"{short_name(self.provider)}. Raise --vram or lower --max-batch."
                ) from e
            raise InternalError(f"Inference failed: {_reason(e)}") from e
        return normalise(rows)


def _open(graph: Path, provider: str, threads: int, rules: DeviceRules) -> Any:
    ort = import_onnxruntime()
    if provider not in ort.get_available_providers():
        raise CpuFallback(
            f"Asked for {short_name(provider)}, but the installed ONNX Runtime is built without it "
            "and would run the CPU. Install the flavour for this device, or add --allow-cpu."
        )
    if provider in GPU_PROVIDERS:
        _preload_libraries(ort)
    if rules.cache_folder is not None and provider in (TENSORRT_PROVIDER, OPENVINO_PROVIDER):
        rules.cache_folder.mkdir(parents=True, exist_ok=True)
    options = session_options(threads)
    # A planned pattern is allocated beside what the first run of a batch size took: measured on
    # SigLIP-base in INT8 the peak is a quarter lower without, at the same speed.
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    chain = provider_chain(provider, rules, threads=threads)
    try:
        # Its own retry with other providers would print to stdout and hide the fault.
        return ort.InferenceSession(str(graph), options, providers=chain, enable_fallback=0)
    except Exception as e:
        if _is_out_of_memory(e):
            raise EnvironmentFault(
                "The artifact needs more memory than this tower may take on "
                f"{short_name(provider)}. Raise --vram or pull a smaller variant."
            ) from e
        raise EnvironmentFault(
            f"ONNX Runtime can't load this artifact with {short_name(provider)}: {_reason(e)}"
        ) from e


def _preload_libraries(ort: Any) -> None:
    """Loads CUDA and cuDNN from the Python packages that bring them, where they are installed; the
    dynamic linker alone does not look there."""
    preload = getattr(ort, "preload_dlls", None)  # since 1.21
    if preload is not None:
        # It prints what it misses; the session then says the same in one error. Towers load side by
        # side, and two that redirect at once would not put stdout back.
        with _PRELOADING, contextlib.redirect_stdout(io.StringIO()):
            preload()


def _find_fallback(session: Any, provider: str) -> Fallback | None:
    """What is wrong with where `session` runs, or None. Raises EnvironmentFault when that can't be
    found out."""
    if provider == CPU_PROVIDER:
        return None
    if provider not in session.get_providers():
        return Fallback(
            f"ONNX Runtime could not start it and runs {short_name(session.get_providers()[0])}: "
            "a library or the driver is missing, see `rsq-agent doctor`",
            True,
        )
    if not hasattr(session, "get_provider_graph_assignment_info"):
        raise EnvironmentFault(
            "This ONNX Runtime is older than 1.24 and can't tell where a graph runs. Upgrade it, "
            "or add --allow-cpu."
        )
    placement: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for part in session.get_provider_graph_assignment_info():
        placement[part.ep_name].update(node.op_type for node in part.get_nodes())
    return find_fallback(placement, provider)


def _is_out_of_memory(error: Exception) -> bool:
    return any(words in str(error) for words in _OUT_OF_MEMORY)


def _reason(error: Exception) -> str:
    """What the runtime says in the end: its first lines name source files of its own."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return _PREFIX.sub("", lines[-1].strip())[:300] if lines else type(error).__name__
