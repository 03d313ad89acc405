"""Traces by OpenTelemetry: one span a call, with its stages as children.

The spans are made when a call ends, from its record, so that serving carries no tracing code. This
is the only module that imports OpenTelemetry, and only when tracing is asked for.
"""

from __future__ import annotations

import threading
from importlib.util import find_spec
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rsq import __version__
from rsq.call_record import CallRecord, EmbeddingTimes
from rsq.errors import EnvironmentFault

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor

SERVICE_NAME = "rsq-agent"
CLOSE_SECONDS = 3.0  # what was not sent by then is lost
# What the caller did wrong is no failure of the server's span:
# https://opentelemetry.io/docs/specs/semconv/rpc/grpc/
SERVER_FAULTS = (
    "UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"
)  # fmt: skip


class Tracing:
    """Give its `record` to whoever hears of ended calls. Close it: that sends what is left."""

    def __init__(self, *, node_id: str, processor: SpanProcessor | None = None) -> None:
        """Sends spans by OTLP over gRPC, where OTEL_EXPORTER_OTLP_ENDPOINT says or to
        127.0.0.1:4317; or hands them to `processor`. Raises EnvironmentFault when OpenTelemetry is
        not installed."""
        try:
            from opentelemetry import propagate, trace
            from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError as e:
            raise EnvironmentFault(
                "OpenTelemetry is not installed; run: pip install 'rsq-agent[otel]'"
            ) from e
        self._trace = trace
        self._extract = propagate.extract
        resource = Resource.create(
            {
                "service.name": SERVICE_NAME,
                "service.version": __version__,
                "service.instance.id": node_id,
            }
        )
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(processor or BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("rsq", __version__)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # OpenTelemetry itself would try for half a minute to reach a collector that is away.
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(CLOSE_SECONDS)

    def record(self, call: CallRecord) -> None:
        parent = self._extract({"traceparent": call.traceparent}) if call.traceparent else None
        span = self._tracer.start_span(
            call.method,
            context=parent,
            kind=self._trace.SpanKind.SERVER,
            start_time=call.started_ns,
            attributes={
                "rpc.system.name": "grpc",
                "rpc.method": call.method,
                "rpc.response.status_code": call.code,
                "rsq.request_id": call.request_id,
                "rsq.artifact_id": call.artifact_id,
            },
        )
        if call.code in SERVER_FAULTS:
            span.set_status(self._trace.StatusCode.ERROR, call.error)
        inside = self._trace.set_span_in_context(span)
        for times in call.embeddings:
            for name, start, end in stages(times):
                child = self._tracer.start_span(name, context=inside, start_time=start)
                child.end(end)
        span.end(call.started_ns + nanoseconds(call.milliseconds))


def is_installed() -> bool:
    return find_spec("opentelemetry") is not None and find_spec("opentelemetry.sdk") is not None


def stages(times: EmbeddingTimes) -> tuple[tuple[str, int, int], ...]:
    """(name, start, end) in nanoseconds since the epoch. Stages may overlap, since the first item
    waits and runs while later ones are prepared; the queue is placed just before the last run."""
    end = times.ended_ns
    start = end - nanoseconds(times.total_ms)
    run = max(end - nanoseconds(times.inference_ms), start)
    return (
        ("preprocess", start, min(start + nanoseconds(times.preprocess_ms), end)),
        ("queue", max(run - nanoseconds(times.queue_ms), start), run),
        ("inference", run, end),
    )


def nanoseconds(milliseconds: float) -> int:
    return int(milliseconds * 1e6)
