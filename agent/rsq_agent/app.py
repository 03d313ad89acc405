"""The one place where the agent's parts are put together."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType
from typing import Self

import grpc

from rsq.audit import AuditLog
from rsq.call_record import CallRecord
from rsq.errors import RsqError
from rsq.kserve import inference_pb2_grpc
from rsq.records import NodeReport
from rsq.reference import Reference
from rsq.rpc.endpoint import Endpoint
from rsq.rpc.health import is_serving
from rsq.rpc.registry import RegistryClient
from rsq.rpc.security import Security
from rsq.rpc.server import RpcServer
from rsq.token_cache import TokenCache
from rsq.v1 import (
    agent_pb2_grpc,
    embedding_pb2_grpc,
    registry_pb2_grpc,
    retrieval_pb2_grpc,
)
from rsq_agent.cache import Cache
from rsq_agent.collections.collections_source import open_collections
from rsq_agent.config import AgentConfig
from rsq_agent.http.http_server import HttpServer
from rsq_agent.http.metrics_server import MetricsServer
from rsq_agent.indexing.migrations import Migrations
from rsq_agent.indexing.roots import Roots
from rsq_agent.inference.activator import Activator
from rsq_agent.inference.live_model import LiveModel
from rsq_agent.inference.serving import Serving
from rsq_agent.inference.spaces import Spaces
from rsq_agent.meter import Meter
from rsq_agent.metrics import AgentCollector
from rsq_agent.node.device import find_device
from rsq_agent.node.memory import process_memory
from rsq_agent.pulling.pull import node_report
from rsq_agent.pulling.watch import follow
from rsq_agent.repeated import Repeated
from rsq_agent.rpc.collections import Collections
from rsq_agent.rpc.collections_transfer import CollectionsTransfer
from rsq_agent.rpc.control import Control
from rsq_agent.rpc.embedding import Embedding
from rsq_agent.rpc.kserve import KServe
from rsq_agent.rpc.migrations import MigrationsServicer
from rsq_agent.rpc.mirror import Mirror
from rsq_agent.rpc.retrieval import Retrieval
from rsq_agent.state import load_state
from rsq_agent.token_file import TokenFile
from rsq_agent.tracing import Tracing

log = logging.getLogger("rsq.agent")
AGENT_SERVICE = "rsq.v1.Agent"
CONTENT_SERVICE = "rsq.v1.Content"
KSERVE_SERVICE = "inference.GRPCInferenceService"


class Agent:
    """A serving process: the only owner of activation and of the collections on its node."""

    def __init__(self, config: AgentConfig) -> None:
        """Binds the port. Raises EnvironmentFault when it is in use, BadInput for a bind beyond
        loopback without TLS."""
        self.config = config
        self.cache = Cache(config.home)
        security = Security(
            tls=config.tls,
            find_token=TokenCache(TokenFile(config.home).find).find,
            require_token=config.require_token,
            insecure=config.insecure,
            limits=config.limits,
        )
        self._guard = security.make_guard(config.listen, config.http, config.metrics)
        self.meter = Meter()
        self.metrics_address: str | None = None
        self.http_address: str | None = None
        self._is_ready = False
        self._device = find_device()
        self._serving = Serving(self.cache, config, meter=self.meter)
        self._collections = open_collections(self.cache, config.collections)
        self.activator = Activator(
            self.cache,
            self._serving,
            on_ready=self._set_ready,
            on_change=self._changed,
            meter=self.meter,
        )
        embedding = Embedding(
            self._serving,
            node_id=self.activator.node_id,
            device=self._device.device_class,
        )
        retrieval = self._retrieval = Retrieval(self._serving, self._collections, self.cache)
        collections = Collections(
            CollectionsTransfer(self._collections, self.cache, optimize=retrieval.optimize_later),
            self._collections,
        )
        self._migrations = Migrations(
            self._collections,
            self.cache,
            Spaces(self.cache, self._serving),
            Roots(config.roots),
        )
        migrations = MigrationsServicer(self._migrations)
        kserve = KServe(self._serving, self.cache, is_ready=lambda: self._is_ready)
        control = Control(self.activator, meter=self.meter, device=self._device.device_class)
        services: list[tuple[str, Callable[[grpc.Server], None]]] = [
            (
                "rsq.v1.Embedding",
                lambda s: embedding_pb2_grpc.add_EmbeddingServicer_to_server(embedding, s),
            ),
            (
                "rsq.v1.Retrieval",
                lambda s: retrieval_pb2_grpc.add_RetrievalServicer_to_server(retrieval, s),
            ),
            (
                "rsq.v1.Collections",
                lambda s: retrieval_pb2_grpc.add_CollectionsServicer_to_server(collections, s),
            ),
            (
                "rsq.v1.Migrations",
                lambda s: retrieval_pb2_grpc.add_MigrationsServicer_to_server(migrations, s),
            ),
            (
                KSERVE_SERVICE,
                lambda s: inference_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(kserve, s),
            ),
            (AGENT_SERVICE, lambda s: agent_pb2_grpc.add_AgentServicer_to_server(control, s)),
        ]
        self._ready_at_once = [AGENT_SERVICE]  # the rest waits for a model
        if config.mirror:
            mirror = Mirror(self.cache)
            services.append(
                (
                    CONTENT_SERVICE,
                    lambda s: registry_pb2_grpc.add_ContentServicer_to_server(mirror, s),
                )
            )
            self._ready_at_once.append(CONTENT_SERVICE)
        self._watchers = ExitStack()
        self._on_end: list[Callable[[CallRecord], None]] = [self.meter.count_call]
        if config.otel:
            tracing = self._watchers.enter_context(Tracing(node_id=self.activator.node_id))
            self._on_end.append(tracing.record)
        self._on_end.append(AuditLog(config.home).record)
        self._server = RpcServer(
            services,
            listen=config.listen,
            security=security,
            guard=self._guard,
            on_end=self._on_end,
        )

    @property
    def address(self) -> str:
        return self._server.address

    def __enter__(self) -> Self:
        if self.config.metrics is not None:
            self.metrics_address = self._serve_metrics(self.config.metrics)
        if self.config.http is not None:
            self.http_address = self._serve_http(self.config.http)
        self._server.start()
        self._server.set_serving(True, self._ready_at_once)
        if self.config.idle_unload_seconds:
            seconds = min(self.config.idle_unload_seconds / 4, 60.0)
            self._watchers.enter_context(
                Repeated("idle-unload", self._unload_unused, seconds=seconds)
            )
        log.info("listening on %s", self.address)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        log.info("stopping")
        self._is_ready = False  # for whoever asks while calls in flight end
        self._server.stop()
        self._watchers.close()
        self._migrations.close()
        self._serving.close()
        self._retrieval.close()
        self._collections.close()

    def _serve_metrics(self, listen: str) -> str:
        collector = AgentCollector(self.meter, live_models=self._live_models, memory=process_memory)
        server = MetricsServer(collector, listen=listen, guard=self._guard, tls=self.config.tls)
        return self._watchers.enter_context(server).address

    def _serve_http(self, listen: str) -> str:
        server = HttpServer(
            self._serving,
            listen=listen,
            guard=self._guard,
            tls=self.config.tls,
            is_ready=lambda: self._is_ready,
            on_end=self._on_end,
        )
        return self._watchers.enter_context(server).address

    def _live_models(self) -> list[LiveModel]:
        return [served.live for served in self._serving.models() if served.live is not None]

    def load(self, model: str | None, *others: str) -> LiveModel:
        """Proves and serves what active.json names. With no `model` it is the current one, and all
        the rest is loaded when a request names it. Raises NotFound when nothing was pulled."""
        state = load_state(self.cache)
        activation = state.activation(model)
        names = others if model is not None else tuple(state.models)
        rest = [state.activation(name) for name in names if name != activation.model]
        live = self.activator.start(activation, rest)
        for name in others:
            self.activator.load(name)
        self._migrations.resume()
        return live

    def is_answering(self) -> bool:
        """Whether this process answers calls, with a model or without one, and the workers of
        every loaded tower run."""
        towers = [tower for model in self._live_models() for tower in model.towers.values()]
        workers_run = all(tower.batcher.is_alive for tower in towers)
        return workers_run and is_serving(self._server.own_endpoint, AGENT_SERVICE)

    def watch(self, reference: Reference) -> None:
        """Follows an alias until the agent ends."""
        stop = threading.Event()
        thread = threading.Thread(
            target=follow,
            args=(reference, self.cache, self.config),
            kwargs={"agent": self._own_endpoint(), "stop": stop},
            name="watch",
            daemon=True,
        )
        self._watchers.callback(thread.join)
        self._watchers.callback(stop.set)
        thread.start()

    def _own_endpoint(self) -> Endpoint:
        """As another process of ours reaches this agent: with the token in a file."""
        endpoint = self._server.own_endpoint
        file = self.config.home / "own.token"
        file.unlink(missing_ok=True)
        file.touch(0o600)
        file.write_text(str(endpoint.token))
        self._watchers.callback(file.unlink, missing_ok=True)
        return replace(endpoint, token=file)

    def _unload_unused(self) -> None:
        for name in self._serving.unload_unused(self.config.idle_unload_seconds):
            log.info("unloaded %s: no request came", name)

    def _set_ready(self, ready: bool) -> None:
        self._is_ready = ready
        self._server.set_serving(ready)
        self._server.set_serving(True, self._ready_at_once)

    def _changed(self, model: LiveModel) -> None:
        activation = model.activation
        log.info(
            "activated",
            extra={
                "model": activation.model,
                "version": activation.version,
                "artifact": " ".join(item[:12] for item in activation.artifacts),
            },
        )
        if not self.config.reports:
            return
        report = node_report(self.cache, self._device, activation, [])
        threading.Thread(target=self._report, args=(report,), daemon=True).start()

    def _report(self, report: NodeReport) -> None:
        """Best effort: an agent serves whether or not its server can be reached."""
        try:
            with RegistryClient(self.config.server) as client:
                client.report_node(report)
        except RsqError as e:
            log.info("not reported to %s: %s", self.config.server, e)
