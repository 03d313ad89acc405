"""From files to a model that may serve: verified, loaded, and proved by its golden probe in this
process on this device."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from rsq.encoder import CPU_PROVIDERS, Encoder
from rsq.errors import IntegrityError
from rsq.manifest import Manifest
from rsq.probe import Probe, ProbeResult, decode_probe, judge, prepare, replay
from rsq_agent.batcher import Batcher, QueueLimits
from rsq_agent.cache import Cache
from rsq_agent.config import AgentConfig
from rsq_agent.live_model import LiveModel, LiveTower
from rsq_agent.meter import Meter
from rsq_agent.pace import PaceFile, find_pace
from rsq_agent.state import Activation
from rsq_agent.vector_cache import VectorCache

QUEUE_BYTES = 256 << 20  # of preprocessed inputs that wait for one tower


def load_model(
    cache: Cache, activation: Activation, config: AgentConfig, meter: Meter | None = None
) -> LiveModel:
    """Verifies the files, loads each tower and replays its golden probe. `meter` counts what the
    model will do.

    Raises NotFound, IntegrityError, ProbeFailed or EnvironmentFault; what was loaded is let go.
    """
    loader = _Loader(cache, activation, config, meter or Meter())
    towers: list[LiveTower] = []
    # Trials of a pace need the cores for themselves.
    together = len(activation.artifacts) if loader.knows_paces() else 1
    with ThreadPoolExecutor(together, thread_name_prefix="loading") as pool:
        futures = [
            pool.submit(loader.load, artifact_id, provider)
            for artifact_id, provider in zip(
                activation.artifacts, activation.providers, strict=True
            )
        ]
        failures = [future.exception() for future in futures]
        towers = [
            future.result()
            for future, failure in zip(futures, failures, strict=True)
            if failure is None
        ]
    try:
        for failure in failures:
            if failure is not None:
                raise failure
        if len({tower.manifest.space_id for tower in towers}) > 1:
            raise IntegrityError("The two towers are of different embedding spaces.")
    except BaseException:
        for tower in towers:
            tower.close()
        raise
    return LiveModel(activation, {tower.manifest.tower: tower for tower in towers})


class _Loader:
    """What the towers of one activation share."""

    def __init__(
        self, cache: Cache, activation: Activation, config: AgentConfig, meter: Meter
    ) -> None:
        self._cache = cache
        self._activation = activation
        self._config = config
        self._meter = meter
        self._paces = PaceFile(cache.home / "paces.json")

    def knows_paces(self) -> bool:
        pairs = zip(self._activation.artifacts, self._activation.providers, strict=True)
        return all(self._paces.read(self._key(*pair)) is not None for pair in pairs)

    def load(self, artifact_id: str, provider: str) -> LiveTower:
        manifest = self._cache.verify_artifact(artifact_id)
        folder = self._cache.artifact_folder(artifact_id)
        probe = decode_probe((folder / manifest.file("probe").name).read_bytes())

        def open_encoder(threads: int) -> Encoder:
            return Encoder(folder, manifest, provider=provider, threads=threads)

        pace = self._paces.read(self._key(artifact_id, provider))
        encoder = open_encoder(pace.threads if pace is not None else self._config.threads)
        result = _prove(encoder, probe)
        if pace is None:
            rows = prepare(encoder, probe)
            inputs = np.resize(rows, (self._activation.max_batch, *rows.shape[1:]))
            del encoder  # its memory is the next one's
            cores = _cores(provider, self._config.threads)
            encoder, pace = find_pace(open_encoder, inputs, cores=cores)
            result = _prove(encoder, probe)
            self._paces.write(self._key(artifact_id, provider), pace)
        meter = self._meter.open_tower(
            self._activation.model, manifest.tower, manifest.variant, artifact_id=artifact_id
        )
        return LiveTower(
            artifact_id,
            manifest,
            provider,
            self._activation.max_batch,
            Batcher(encoder, pace=pace, limits=self._limits(manifest), meter=meter),
            result,
            meter,
            VectorCache(),
            lambda: self._meter.close_tower(meter),
        )

    def _key(self, artifact_id: str, provider: str) -> str:
        threads, batch = self._config.threads, self._activation.max_batch
        return f"{artifact_id} {provider} {threads} threads batch {batch}"

    def _limits(self, manifest: Manifest) -> QueueLimits:
        items = min(self._config.queue_items, QUEUE_BYTES // _row_bytes(manifest))
        return QueueLimits(
            items=max(items, self._activation.max_batch),
            wait_seconds=self._config.queue_seconds,
        )


def _row_bytes(manifest: Manifest) -> int:
    """Of one preprocessed input: float32 pixels or int64 token ids."""
    if manifest.image is not None:
        return 4 * 3 * manifest.image.height * manifest.image.width
    assert manifest.text is not None
    return 8 * manifest.text.max_length


def _prove(encoder: Encoder, probe: Probe) -> ProbeResult:
    result = replay(encoder, probe)
    judge(result, encoder.manifest.probe)
    return result


def _cores(provider: str, cores: int) -> int:
    """On a GPU a second worker hides the copies of the first; more only wait for each other."""
    return cores if provider in CPU_PROVIDERS.values() else min(cores, 2)
