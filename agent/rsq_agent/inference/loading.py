"""From files to a model that may serve: verified, loaded, and proved by its golden probe in this
process on this device."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from rsq.encoder import CPU_PROVIDERS, Encoder
from rsq.errors import IntegrityError
from rsq.manifest import Manifest
from rsq.probe import Probe, ProbeResult, decode_probe, judge, prepare, replay
from rsq.provider_options import DeviceRules
from rsq_agent.cache import Cache
from rsq_agent.config import AgentConfig
from rsq_agent.inference.admission import QueueLimits
from rsq_agent.inference.batch_times import BatchTimes
from rsq_agent.inference.batcher import Batcher
from rsq_agent.inference.live_model import LiveModel, LiveTower
from rsq_agent.inference.pace import CPU_WORKERS, Pace, find_pace
from rsq_agent.inference.pace_file import PaceFile, PaceKey
from rsq_agent.inference.tower_rules import tower_rules
from rsq_agent.inference.vector_cache import VectorCache
from rsq_agent.meter import Meter
from rsq_agent.state import Activation

log = logging.getLogger("rsq.agent")
QUEUE_BYTES = 256 << 20  # of preprocessed inputs that wait for one tower


def load_model(
    cache: Cache, activation: Activation, config: AgentConfig, meter: Meter | None = None
) -> LiveModel:
    """Verifies the files, loads each tower and replays its golden probe. `meter` counts what the
    model will do.

    Raises NotFound, IntegrityError, ProbeFailed, CpuFallback or EnvironmentFault; what was loaded
    is let go.
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


def pace_keys(cache: Cache, activation: Activation, threads: int) -> list[PaceKey]:
    """What each artifact's pace is remembered under. Raises NotFound for a missing manifest."""
    return [
        _pace_key(artifact_id, cache.manifest(artifact_id), provider, activation, threads)
        for artifact_id, provider in zip(activation.artifacts, activation.providers, strict=True)
    ]


class _Loader:
    """What the towers of one activation share."""

    def __init__(
        self, cache: Cache, activation: Activation, config: AgentConfig, meter: Meter
    ) -> None:
        self._cache = cache
        self._activation = activation
        self._config = config
        self._meter = meter
        self._paces = PaceFile(cache.paces_path)

    def knows_paces(self) -> bool:
        keys = pace_keys(self._cache, self._activation, self._config.threads)
        return all(self._paces.read(key) is not None for key in keys)

    def load(self, artifact_id: str, provider: str) -> LiveTower:
        manifest = self._cache.verify_artifact(artifact_id)
        folder = self._cache.artifact_folder(artifact_id)
        probe = decode_probe((folder / manifest.file("probe").name).read_bytes())

        rules = self._rules(artifact_id)

        def open_encoder(threads: int) -> Encoder:
            return Encoder(folder, manifest, provider=provider, threads=threads, rules=rules)

        key = _pace_key(artifact_id, manifest, provider, self._activation, self._config.threads)
        pace = self._paces.read(key)
        encoder = open_encoder(pace.threads if pace is not None else self._config.threads)
        result = _prove(encoder, probe)
        if pace is None:
            rows = prepare(encoder, probe)
            inputs = np.resize(rows, (self._activation.max_batch, *rows.shape[1:]))
            del encoder  # its memory is the next one's
            encoder, pace = find_pace(
                open_encoder,
                inputs,
                cores=_cores(provider, self._config.threads),
                preferred_workers=CPU_WORKERS if _is_cpu(provider) else 1,
            )
            result = _prove(encoder, probe)
            self._paces.write(key, pace)
        if encoder.notice is not None:
            log.warning("%s %s: %s", manifest.tower, manifest.variant, encoder.notice)
        limits = self._limits(manifest)
        _warn_of_target(manifest, pace, limits)
        meter = self._meter.open_tower(
            self._activation.model, manifest.tower, manifest.variant, artifact_id=artifact_id
        )
        return LiveTower(
            artifact_id,
            manifest,
            encoder.provider,
            self._activation.max_batch,
            Batcher(encoder, pace=pace, limits=limits, meter=meter),
            result,
            meter,
            VectorCache(),
            lambda: self._meter.close_tower(meter),
        )

    def _rules(self, artifact_id: str) -> DeviceRules:
        artifacts = self._activation.artifacts
        limits = [self._activation.budget_bytes, self._config.vram_bytes]
        return tower_rules(
            self._cache,
            artifact_id,
            {other: self._cache.manifest(other).size_bytes for other in artifacts},
            budget_bytes=min((limit for limit in limits if limit is not None), default=None),
            allow_cpu=self._config.allow_cpu,
        )

    def _limits(self, manifest: Manifest) -> QueueLimits:
        items = min(self._config.queue_items, QUEUE_BYTES // _row_bytes(manifest))
        return QueueLimits(
            items=max(items, self._activation.max_batch),
            wait_seconds=self._config.queue_seconds,
            target_seconds=self._config.latency_targets.get(manifest.tower),
        )


def _pace_key(
    artifact_id: str, manifest: Manifest, provider: str, activation: Activation, threads: int
) -> PaceKey:
    return PaceKey(
        artifact_id,
        manifest.tower,
        manifest.variant,
        manifest.size_bytes,
        provider,
        threads,
        activation.max_batch,
    )


def _row_bytes(manifest: Manifest) -> int:
    """Of one preprocessed input: float32 pixels or int64 token ids."""
    if manifest.image is not None:
        return 4 * 3 * manifest.image.height * manifest.image.width
    assert manifest.text is not None
    return 8 * manifest.text.max_length


def _warn_of_target(manifest: Manifest, pace: Pace, limits: QueueLimits) -> None:
    seconds = BatchTimes(pace).seconds(1)
    if limits.target_seconds is not None and seconds > limits.target_seconds:
        log.warning(
            "%s %s: one item takes about %.0f ms here, longer than the latency target of %.0f ms; "
            "choose a longer one, or a faster variant.",
            manifest.tower,
            manifest.variant,
            seconds * 1000,
            limits.target_seconds * 1000,
        )


def _prove(encoder: Encoder, probe: Probe) -> ProbeResult:
    result = replay(encoder, probe)
    judge(result, encoder.manifest.probe)
    return result


def _cores(provider: str, cores: int) -> int:
    """On a GPU a second worker hides the copies of the first; more only wait for each other."""
    return cores if _is_cpu(provider) else min(cores, 2)


def _is_cpu(provider: str) -> bool:
    return provider in CPU_PROVIDERS.values()
