"""Models without towers: how long a load takes and whether it succeeds is up to the test."""

from __future__ import annotations

import threading
from collections import defaultdict

from rsq_agent.inference.live_model import LiveModel
from rsq_agent.state import Activation

PATIENCE_SECONDS = 20.0


def fake_activation(
    model: str = "demo",
    version: int = 1,
    *,
    peak_bytes: int = 100,
    budget_bytes: int | None = None,
    artifacts: tuple[str, ...] = (),
) -> Activation:
    return Activation(
        model,
        version,
        artifacts,
        ("CPUExecutionProvider",) * len(artifacts),
        8,
        budget_bytes=budget_bytes,
        peak_bytes=peak_bytes,
        load_seconds=2.0,
    )


class FakeModel(LiveModel):
    def __init__(self, activation: Activation, loader: FakeLoader) -> None:
        super().__init__(activation, {})
        self._loader = loader

    @property
    def version(self) -> int:
        return self.activation.version

    def unload(self) -> None:
        self._loader.forget(self.activation)


class FakeLoader:
    """Loads at once, unless a test holds a load or lets it fail. Keeps the books of memory."""

    def __init__(self) -> None:
        self.loads: list[tuple[str, int]] = []
        self.in_memory: list[tuple[str, int]] = []
        self.most_bytes = 0
        self.failures: dict[tuple[str, int], Exception] = {}
        self.began: dict[tuple[str, int], threading.Event] = defaultdict(threading.Event)
        self._gates: dict[tuple[str, int], threading.Event] = {}
        self._bytes = 0
        self._lock = threading.Lock()

    def hold(self, model: str, version: int) -> threading.Event:
        """Loads of that version wait from now on until the event is set."""
        return self._gates.setdefault((model, version), threading.Event())

    def __call__(self, activation: Activation) -> LiveModel:
        key = (activation.model, activation.version)
        with self._lock:
            self.loads.append(key)
            self._bytes += activation.peak_bytes or 0
            self.most_bytes = max(self.most_bytes, self._bytes)
        self.began[key].set()
        if key in self._gates:
            assert self._gates[key].wait(PATIENCE_SECONDS)
        if key in self.failures:
            with self._lock:
                self._bytes -= activation.peak_bytes or 0
            raise self.failures[key]
        with self._lock:
            self.in_memory.append(key)
        return FakeModel(activation, self)

    def forget(self, activation: Activation) -> None:
        with self._lock:
            self.in_memory.remove((activation.model, activation.version))
            self._bytes -= activation.peak_bytes or 0
