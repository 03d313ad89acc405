"""The one place where the agent's parts are put together."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

import grpc

from rsq.errors import RsqError
from rsq.records import NodeReport
from rsq.rpc.registry import RegistryClient
from rsq.rpc.server import RpcServer
from rsq.v1 import (
    agent_pb2_grpc,
    embedding_pb2_grpc,
    registry_pb2_grpc,
    retrieval_pb2_grpc,
)
from rsq_agent.activator import Activator
from rsq_agent.cache import Cache
from rsq_agent.collection_store import CollectionStore
from rsq_agent.config import AgentConfig
from rsq_agent.device import find_device
from rsq_agent.pull import node_report
from rsq_agent.rpc.control import Control
from rsq_agent.rpc.embedding import Embedding
from rsq_agent.rpc.mirror import Mirror
from rsq_agent.rpc.retrieval import Retrieval
from rsq_agent.serving import LiveModel, Serving
from rsq_agent.state import load_state

log = logging.getLogger("rsq.agent")
AGENT_SERVICE = "rsq.v1.Agent"
CONTENT_SERVICE = "rsq.v1.Content"


class Agent:
    """A serving process: the only owner of activation and of the collections on its node."""

    def __init__(self, config: AgentConfig) -> None:
        """Binds the port. Raises EnvironmentFault when it is in use, BadInput for a bind beyond
        loopback."""
        self.config = config
        self.cache = Cache(config.home)
        self._device = find_device()
        self._serving = Serving(self.cache, config)
        self._collections = CollectionStore(self.cache.collections_folder)
        self.activator = Activator(self.cache, self._serving, on_change=self._changed)
        embedding = Embedding(
            self._serving,
            node_id=self.activator.node_id,
            device=self._device.device_class,
        )
        retrieval = self._retrieval = Retrieval(self._serving, self._collections)
        control = Control(self.activator)
        services: list[tuple[str, Callable[[grpc.Server], None]]] = [
            (
                "rsq.v1.Embedding",
                lambda s: embedding_pb2_grpc.add_EmbeddingServicer_to_server(embedding, s),
            ),
            (
                "rsq.v1.Retrieval",
                lambda s: retrieval_pb2_grpc.add_RetrievalServicer_to_server(retrieval, s),
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
        self._server = RpcServer(services, listen=config.listen, insecure=config.insecure)

    @property
    def address(self) -> str:
        return self._server.address

    def __enter__(self) -> Self:
        self._server.start()
        self._server.set_serving(True, self._ready_at_once)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.stop()
        self._serving.close()
        self._retrieval.close()
        self._collections.close()

    def load(self, model: str | None) -> LiveModel:
        """Proves and serves what active.json names. Raises NotFound when nothing was pulled."""
        activation = load_state(self.cache).activation(model)
        return self.activator.start(activation)

    def _changed(self, model: LiveModel | None) -> None:
        self._server.set_serving(model is not None)
        self._server.set_serving(True, self._ready_at_once)
        activation = model.activation if model is not None else None
        report = node_report(self.cache, self._device, activation, [])
        threading.Thread(target=self._report, args=(report,), daemon=True).start()

    def _report(self, report: NodeReport) -> None:
        """Best effort: an agent serves whether or not its server can be reached."""
        try:
            with RegistryClient(self.config.server) as client:
                client.report_node(report)
        except RsqError as e:
            log.info("not reported to %s: %s", self.config.server, e)
