"""The towers that serve now, and their replacement without a gap.

Nothing serves before its golden probe passed in this process on this device.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rsq.encoder import Encoder
from rsq.errors import BadInput, EnvironmentFault, IntegrityError
from rsq.manifest import Manifest, Tower
from rsq.probe import ProbeResult, decode_probe, judge, replay
from rsq_agent.batcher import Batcher
from rsq_agent.cache import Cache
from rsq_agent.config import AgentConfig
from rsq_agent.state import Activation


@dataclass(frozen=True)
class LiveTower:
    artifact_id: str
    manifest: Manifest
    provider: str
    threads: int
    batcher: Batcher
    probe: ProbeResult


class LiveModel:
    """The towers of one activation, in memory and proved."""

    def __init__(self, activation: Activation, towers: dict[Tower, LiveTower]) -> None:
        self.activation = activation
        self.towers = towers
        self._users = 0
        self._retired = False
        self._changed = threading.Condition()

    @property
    def manifest(self) -> Manifest:
        """Of either tower: space, dimension and scoring are the same for both."""
        return next(iter(self.towers.values())).manifest

    def tower(self, name: Tower) -> LiveTower:
        """Raises BadInput when this node serves the other tower only."""
        if name not in self.towers:
            other = next(iter(self.towers))
            raise BadInput(
                f"This agent serves the {other} tower only; pull the {name} tower to embed "
                f"{'images' if name == 'vision' else 'texts'}."
            )
        return self.towers[name]

    def take(self) -> bool:
        with self._changed:
            if not self._retired:
                self._users += 1
            return not self._retired

    def release(self) -> None:
        with self._changed:
            self._users -= 1
            self._changed.notify_all()

    def retire(self) -> None:
        """Waits for the calls in flight, then unloads."""
        with self._changed:
            self._retired = True
            self._changed.wait_for(lambda: self._users == 0)
        for tower in self.towers.values():
            tower.batcher.close()
        self.towers = {}


def load_model(cache: Cache, activation: Activation, config: AgentConfig) -> LiveModel:
    """Verifies the files, loads each tower and replays its golden probe.

    Raises NotFound, IntegrityError, ProbeFailed or EnvironmentFault; what was loaded is let go.
    """
    towers: dict[Tower, LiveTower] = {}
    try:
        for artifact_id, provider in zip(activation.artifacts, activation.providers, strict=True):
            manifest = cache.verify_artifact(artifact_id)
            towers[manifest.tower] = _load_tower(
                cache, artifact_id, manifest, provider, activation, config
            )
        if len({tower.manifest.space_id for tower in towers.values()}) > 1:
            raise IntegrityError("The two towers are of different embedding spaces.")
    except BaseException:
        for tower in towers.values():
            tower.batcher.close()
        raise
    return LiveModel(activation, towers)


def _load_tower(
    cache: Cache,
    artifact_id: str,
    manifest: Manifest,
    provider: str,
    activation: Activation,
    config: AgentConfig,
) -> LiveTower:
    folder = cache.artifact_folder(artifact_id)
    encoder = Encoder(folder, manifest, provider=provider, threads=config.threads)
    probe = decode_probe((folder / manifest.file("probe").name).read_bytes())
    result = replay(encoder, probe)
    judge(result, manifest.probe)
    batcher = Batcher(encoder, max_batch=activation.max_batch, queue_items=config.queue_items)
    return LiveTower(artifact_id, manifest, provider, config.threads, batcher, result)


class Serving:
    """Holds the live model. A call leases it for its whole length, so a swap never mixes two."""

    def __init__(self, cache: Cache, config: AgentConfig) -> None:
        self._cache = cache
        self._config = config
        self._model: LiveModel | None = None
        self._activating = threading.Lock()

    @property
    def model(self) -> LiveModel | None:
        return self._model

    @contextmanager
    def lease(self) -> Iterator[LiveModel]:
        """The live model, kept loaded inside the block. Raises EnvironmentFault when none is."""
        while True:
            model = self._model
            if model is None:
                raise EnvironmentFault("This agent serves nothing yet; run: rsq-agent pull NAME")
            if model.take():
                break
        try:
            yield model
        finally:
            model.release()

    def activate(self, activation: Activation) -> LiveModel:
        """Loads and proves the new model beside the old one, swaps, then unloads the old.

        On any error the old one keeps serving.
        """
        with self._activating:
            fresh = load_model(self._cache, activation, self._config)
            old, self._model = self._model, fresh
            if old is not None:
                old.retire()
            return fresh

    def close(self) -> None:
        with self._activating:
            old, self._model = self._model, None
            if old is not None:
                old.retire()
