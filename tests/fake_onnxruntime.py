"""Stands for the module `onnxruntime` where tests need devices that this machine hasn't: it places
nodes as it is told and computes the identity."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np

CPU = "CPUExecutionProvider"


@dataclass(eq=False)  # hashable, as a module is
class FakeRuntime:
    """`placements` are operators by provider; without a row for one, it can't be started and the
    CPU takes all. `opened` records the chain of every session."""

    providers: tuple[str, ...]
    placements: dict[str, dict[str, int]] = field(default_factory=dict)
    load_error: str | None = None  # of every provider but the CPU
    run_error: str | None = None
    can_tell: bool = True  # where nodes run; releases before 1.24 can't
    opened: list[list[tuple[str, dict[str, str]]]] = field(default_factory=list)
    preloads: int = 0
    saturates: bool = False  # as a CPU without VNNI
    options: list[dict[str, str]] = field(default_factory=list)
    __version__: str = "1.99"

    def get_available_providers(self) -> list[str]:
        return list(self.providers)

    def preload_dlls(self) -> None:
        self.preloads += 1
        print("Failed to load libcudnn.so.9")  # as the real one does

    def SessionOptions(self) -> Any:
        entries: dict[str, str] = {}
        return SimpleNamespace(
            entries=entries,
            add_session_config_entry=lambda key, value: entries.__setitem__(key, value),
        )

    def InferenceSession(
        self,
        graph: str | bytes,
        options: Any,
        *,
        providers: list[Any],
        enable_fallback: int,
    ) -> FakeSession:
        assert enable_fallback == 0, "the runtime's own retry hides what went wrong"
        if isinstance(graph, bytes):  # no tower: the trial of rsq.integer_products
            return FakeSession([CPU], None, sums=32_767 if self.saturates else 64_770)
        self.opened.append(providers)
        self.options.append(options.entries)
        first = providers[0][0]
        if first != CPU and self.load_error is not None:
            raise RuntimeError(self.load_error)
        placement = self.placements if first != CPU else {CPU: {"MatMul": 1}}
        started = [first] if first == CPU or first in placement else []
        running = [*started, CPU] if first != CPU else [CPU]
        recorded = options.entries.get("session.record_ep_graph_assignment_info") == "1"
        session = FakeSession(running, self.run_error)
        if self.can_tell:
            shown = placement if recorded else {}
            session.get_provider_graph_assignment_info = lambda: [  # type: ignore[attr-defined]
                SimpleNamespace(ep_name=name, get_nodes=lambda n=nodes: _expand(n))
                for name, nodes in shown.items()
            ]
        return session


class FakeSession:
    def __init__(
        self, providers: list[str], run_error: str | None, *, sums: int | None = None
    ) -> None:
        self._providers = providers
        self._run_error = run_error
        self._sums = sums

    def get_providers(self) -> list[str]:
        return self._providers

    def run(self, names: list[str], inputs: dict[str, Any]) -> list[Any]:
        if self._run_error is not None:
            raise RuntimeError(self._run_error)
        if self._sums is not None:
            return [np.full((2, 1), self._sums, np.int32)]
        return [np.asarray(rows, np.float32) for rows in inputs.values()]


def _expand(nodes: dict[str, int]) -> Iterable[Any]:
    return [SimpleNamespace(op_type=op) for op, count in nodes.items() for _ in range(count)]
