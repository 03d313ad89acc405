"""The one place where the server's parts are put together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from rsq.audit import AuditLog
from rsq.rpc.security import Security
from rsq.rpc.server import RpcServer
from rsq.token_cache import TokenCache
from rsq.v1.registry_pb2_grpc import (
    add_ContentServicer_to_server,
    add_PublishingServicer_to_server,
    add_RegistryServicer_to_server,
)
from rsq.v1.trust_pb2_grpc import add_TrustServicer_to_server
from rsq_registry.blobs import Blobs, BlobStore
from rsq_registry.catalogue import Catalogue
from rsq_registry.database import open_database
from rsq_registry.object_blobs import ObjectBlobs
from rsq_registry.tokens import RegistryTokens
from rsq_server.config import ServerConfig
from rsq_server.rpc.content import ContentService
from rsq_server.rpc.publishing import PublishingService
from rsq_server.rpc.registry import RegistryService
from rsq_server.rpc.trust import TrustService
from rsq_server.signing.repository import Repository
from rsq_server.uploads import Uploads

REGISTRY_SERVICE = "rsq.v1.Registry"
CONTENT_SERVICE = "rsq.v1.Content"
PUBLISHING_SERVICE = "rsq.v1.Publishing"
TRUST_SERVICE = "rsq.v1.Trust"


@dataclass(frozen=True)
class Stores:
    """The open registry of one data folder. Any number of processes may have it open at once."""

    catalogue: Catalogue
    blobs: Blobs
    tokens: RegistryTokens


@contextmanager
def open_stores(config: ServerConfig) -> Iterator[Stores]:
    """The registry in the data folder, made where there is none, for the length of the block.

    Raises EnvironmentFault for a folder that can't be used or data of a newer release.
    """
    blobs: Blobs = (
        BlobStore(config.blobs_folder)
        if config.blobs_url is None
        else ObjectBlobs(config.blobs_url)
    )
    engine = open_database(config.database)
    try:
        yield Stores(Catalogue(engine, blobs), blobs, RegistryTokens(engine))
    finally:
        engine.dispose()


@contextmanager
def run_server(stores: Stores, config: ServerConfig) -> Iterator[RpcServer]:
    """A server that answers for the length of the block; its `address` has the bound port.

    Raises EnvironmentFault when the port is in use, BadInput for a bind beyond loopback without
    TLS.
    """
    registry = RegistryService(stores.catalogue)
    content = ContentService(catalogue=stores.catalogue, blobs=stores.blobs)
    publishing = PublishingService(
        catalogue=stores.catalogue,
        blobs=stores.blobs,
        uploads=Uploads(config.uploads_folder, stores.blobs),
    )
    trust = TrustService(Repository(config.trust_folder))
    server = RpcServer(
        [
            (REGISTRY_SERVICE, partial(add_RegistryServicer_to_server, registry)),
            (CONTENT_SERVICE, partial(add_ContentServicer_to_server, content)),
            (PUBLISHING_SERVICE, partial(add_PublishingServicer_to_server, publishing)),
            (TRUST_SERVICE, partial(add_TrustServicer_to_server, trust)),
        ],
        listen=config.listen,
        security=Security(
            tls=config.tls,
            find_token=TokenCache(stores.tokens.find).find,
            require_token=config.require_token,
            insecure=config.insecure,
            limits=config.limits,
        ),
        on_end=[AuditLog(config.home).record],
    )
    server.start()
    server.set_serving(True)
    try:
        yield server
    finally:
        server.stop()
