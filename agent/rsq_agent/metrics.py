"""The agent's numbers for Prometheus.

Everything is made at the scrape from the Meter and the live models, so that recording stays cheap.
Label values are bounded: models that were pulled, methods that exist, status names, error codes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from rsq_agent.inference.live_model import LiveModel
from rsq_agent.meter import Histogram, Meter, TowerCounts, TowerLabels
from rsq_agent.node.memory import Memory

TOWER_LABELS = ("model", "tower", "variant")


class AgentCollector(Collector):
    """`live_models` gives the models that are loaded now."""

    def __init__(
        self,
        meter: Meter,
        *,
        live_models: Callable[[], Iterable[LiveModel]],
        memory: Callable[[], Memory],
    ) -> None:
        self._meter = meter
        self._live_models = live_models
        self._memory = memory

    def collect(self) -> Iterator[Metric]:
        yield from _agent_families(self._meter, self._memory())
        yield from _tower_families(self._meter.towers())
        yield from _artifact_families(list(self._live_models()))


def _agent_families(meter: Meter, memory: Memory) -> Iterator[Metric]:
    requests = CounterMetricFamily(
        "rsq_requests", "Calls that ended, by gRPC status.", labels=("method", "code")
    )
    for (method, code), count in sorted(meter.requests().items()):
        requests.add_metric((method, code), count)
    yield requests
    activations = CounterMetricFamily(
        "rsq_activations", "Activations that ended: OK, or an error's code.", labels=("outcome",)
    )
    for outcome, count in sorted(meter.activations().items()):
        activations.add_metric((outcome,), count)
    yield activations
    last = meter.last_activation
    if last is not None:
        yield GaugeMetricFamily(
            "rsq_last_activation_timestamp_seconds", "When the last activation ended.", last.ended
        )
        yield GaugeMetricFamily(
            "rsq_last_activation_success",
            "1 if the last activation succeeded, else 0.",
            1 if last.outcome == "OK" else 0,
        )
    yield GaugeMetricFamily("rsq_uptime_seconds", "Since the start.", meter.uptime_seconds)
    yield GaugeMetricFamily(
        "rsq_resident_bytes", "Resident memory of the process.", memory.resident_bytes
    )
    yield GaugeMetricFamily(
        "rsq_device_bytes", "GPU memory of the process; 0 without one.", memory.device_bytes
    )


def _tower_families(towers: dict[TowerLabels, TowerCounts]) -> Iterator[Metric]:
    counters: tuple[tuple[str, str, Callable[[TowerCounts], int]], ...] = (
        ("rsq_items", "Items embedded on the device.", lambda counts: counts.items),
        ("rsq_refused_items", "Items that found no room.", lambda counts: counts.refused),
        ("rsq_expired_items", "Items whose deadline passed in the queue.", lambda c: c.expired),
        ("rsq_cancelled_items", "Items whose caller went away.", lambda c: c.cancelled),
    )
    for name, documentation, value in counters:
        family = CounterMetricFamily(name, documentation, labels=TOWER_LABELS)
        for labels, counts in towers.items():
            family.add_metric(_values(labels), value(counts))
        yield family
    batches = HistogramMetricFamily(
        "rsq_batch_items", "Items that ran together.", labels=TOWER_LABELS
    )
    stages = HistogramMetricFamily(
        "rsq_stage_seconds",
        "Time of a batch in the queue and in inference; of a call in preprocessing and as a whole.",
        labels=(*TOWER_LABELS, "stage"),
    )
    for labels, counts in towers.items():
        batches.add_metric(_values(labels), *_buckets(counts.batch_items, 1))
        for stage, histogram in counts.stages.items():
            stages.add_metric((*_values(labels), stage), *_buckets(histogram, 1e-3))
    yield batches
    yield stages


def _artifact_families(models: Sequence[LiveModel]) -> Iterator[Metric]:
    queue = GaugeMetricFamily("rsq_queue_items", "Items that wait now.", labels=TOWER_LABELS)
    target = GaugeMetricFamily(
        "rsq_latency_target_seconds",
        "Within which the tower answers or refuses; towers without a target have none.",
        labels=TOWER_LABELS,
    )
    info = GaugeMetricFamily(
        "rsq_artifact_info",
        "1 for each artifact that is loaded.",
        labels=("model", "version", "tower", "variant", "provider", "id"),
    )
    probe = GaugeMetricFamily(
        "rsq_probe_cosine",
        "The golden probe's smallest cosine on this device, with the publisher's outputs (own) "
        "and with FP32's (fp32).",
        labels=(*TOWER_LABELS, "reference"),
    )
    for model in models:
        name, version = model.activation.model, str(model.activation.version)
        for live in list(model.towers.values()):
            variant = live.manifest.variant
            labels = (name, live.manifest.tower, variant)
            queue.add_metric(labels, live.batcher.waiting)
            if live.batcher.limits.target_seconds is not None:
                target.add_metric(labels, live.batcher.limits.target_seconds)
            info.add_metric(
                (name, version, live.manifest.tower, variant, live.provider, live.artifact_id), 1
            )
            probe.add_metric((*labels, "own"), live.probe.own_cosine_min)
            probe.add_metric((*labels, "fp32"), live.probe.fp32_cosine_min)
    yield queue
    yield target
    yield info
    yield probe


def _values(labels: TowerLabels) -> tuple[str, str, str]:
    return labels.model, labels.tower, labels.variant


def _buckets(histogram: Histogram, scale: float) -> tuple[list[tuple[str, float]], float]:
    """Cumulative counts under bounds times `scale`, and the sum."""
    buckets: list[tuple[str, float]] = []
    total = 0
    for bound, count in zip((*histogram.bounds, None), histogram.counts, strict=True):
        total += count
        buckets.append(("+Inf" if bound is None else f"{bound * scale:g}", total))
    return buckets, histogram.total * scale
