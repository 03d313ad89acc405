"""A model in memory: its towers, and who uses them."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from rsq.encoder import ONNX_FORMAT
from rsq.errors import BadInput
from rsq.manifest import Manifest, Tower
from rsq.probe import ProbeResult
from rsq_agent.inference.batcher import Batcher
from rsq_agent.inference.vector_cache import VectorCache
from rsq_agent.meter import TowerMeter
from rsq_agent.state import Activation


@dataclass(frozen=True)
class LiveTower:
    """A tower that was proved here and the queue in front of it."""

    artifact_id: str
    manifest: Manifest
    provider: str
    max_batch: int  # items in memory at once, over all workers
    batcher: Batcher
    probe: ProbeResult
    meter: TowerMeter
    vectors: VectorCache  # of texts embedded before; unused for images
    on_close: Callable[[], None]

    def close(self) -> None:
        """Finishes what waits and lets the memory go."""
        self.batcher.close()
        self.on_close()


class LiveModel:
    """The towers of one activation, in memory and proved. `Serving` alone lets callers in and
    unloads it."""

    def __init__(self, activation: Activation, towers: dict[Tower, LiveTower]) -> None:
        self.activation = activation
        self.towers = towers
        self.last_used = time.monotonic()
        self._users = 0
        self._changed = threading.Condition()

    @property
    def manifest(self) -> Manifest:
        """Of either tower: space, dimension and scoring are the same for both."""
        return next(iter(self.towers.values())).manifest

    @property
    def is_idle(self) -> bool:
        return self._users == 0

    def tower(self, name: Tower) -> LiveTower:
        """Raises BadInput when this node serves the other tower only."""
        if name not in self.towers:
            other = next(iter(self.towers))
            raise BadInput(
                f"This agent serves the {other} tower only; pull the {name} tower to embed "
                f"{'images' if name == 'vision' else 'texts'}."
            )
        return self.towers[name]

    def take(self) -> None:
        with self._changed:
            self._users += 1

    def release(self) -> None:
        with self._changed:
            self._users -= 1
            self.last_used = time.monotonic()
            self._changed.notify_all()

    def wait_until_idle(self, timeout_seconds: float | None = None) -> bool:
        """Waits for the calls in flight; False when they did not end in time. Whoever calls this
        has seen to it that nobody takes the model any more."""
        with self._changed:
            return self._changed.wait_for(lambda: self.is_idle, timeout_seconds)

    def unload(self) -> None:
        formats = {tower.manifest.format for tower in self.towers.values()}
        _close(self.towers.values())
        self.towers = {}
        if formats - {ONNX_FORMAT}:
            # Torch's modules refer to each other in circles. Others do without this: it stops all
            # threads for tens of milliseconds.
            gc.collect()


def _close(towers: Iterable[LiveTower]) -> None:
    for tower in towers:
        tower.close()
