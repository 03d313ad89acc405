from __future__ import annotations

import sys
import threading

import pytest

pytest.importorskip("opentelemetry.sdk", reason="the extra rsq-agent[otel] is not installed")

from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from rsq.call_record import CallRecord, EmbeddingTimes
from rsq.errors import EnvironmentFault
from rsq_agent import tracing as tracing_module
from rsq_agent.tracing import Tracing, stages

END_NS = 2_000_000_000


def _record(call: CallRecord) -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    with Tracing(node_id="n1", processor=SimpleSpanProcessor(exporter)) as tracing:
        tracing.record(call)
    return exporter


def test_a_call_is_one_span_with_its_stages_inside() -> None:
    times = EmbeddingTimes(2.0, 1.0, 5.0, 9.0, ended_ns=END_NS)
    call = CallRecord("Embedding/EmbedText", "r1", started_ns=END_NS - 10_000_000)
    call.milliseconds, call.artifact_id, call.embeddings = 11.0, "a" * 64, [times]
    *children, span = _record(call).get_finished_spans()
    assert span.name == "Embedding/EmbedText"
    assert span.end_time - span.start_time == 11_000_000
    assert span.attributes["rsq.request_id"] == "r1"
    assert span.attributes["rpc.response.status_code"] == "OK"
    assert span.resource.attributes["service.instance.id"] == "n1"
    assert [child.name for child in children] == ["preprocess", "queue", "inference"]
    for child in children:
        assert child.parent.span_id == span.context.span_id
        assert span.start_time <= child.start_time <= child.end_time <= span.end_time


def test_the_callers_span_is_the_parent() -> None:
    trace_id, span_id = "1" * 32, "2" * 16
    call = CallRecord("m", "r", traceparent=f"00-{trace_id}-{span_id}-01")
    (span,) = _record(call).get_finished_spans()
    assert f"{span.context.trace_id:032x}" == trace_id
    assert f"{span.parent.span_id:016x}" == span_id


@pytest.mark.parametrize(("code", "failed"), [("INTERNAL", True), ("INVALID_ARGUMENT", False)])
def test_only_the_servers_own_faults_fail_its_span(code: str, failed: bool) -> None:
    (span,) = _record(CallRecord("m", "r", code=code)).get_finished_spans()
    assert (span.status.status_code.name == "ERROR") == failed


def test_stages_stay_inside_the_call() -> None:
    for _, start, end in stages(EmbeddingTimes(900.0, 900.0, 900.0, 10.0, ended_ns=END_NS)):
        assert END_NS - 10_000_000 <= start <= end <= END_NS


def test_a_collector_that_never_answers_does_not_hold_up_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Stuck(SpanProcessor):
        def __init__(self) -> None:
            self.asked = threading.Event()
            self.ended = threading.Event()

        def shutdown(self) -> None:
            self.asked.set()
            self.ended.wait(20)

    monkeypatch.setattr(tracing_module, "CLOSE_SECONDS", 0.05)
    stuck = Stuck()
    with Tracing(node_id="n1", processor=stuck):
        pass
    assert stuck.asked.is_set()
    assert not stuck.ended.is_set()
    stuck.ended.set()


def test_without_the_extra_the_sentence_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(EnvironmentFault, match=r"rsq-agent\[otel\]"):
        Tracing(node_id="n1")
