"""What the server's commands pass in; built by the CLI, which alone reads the environment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rsq.rpc.limits import NO_LIMITS, Limits

if TYPE_CHECKING:
    from rsq.tls import ServerTls

DEFAULT_LISTEN = "127.0.0.1:7100"


@dataclass(frozen=True)
class ServerConfig:
    """HOME is the server's data folder:

    HOME/registry.db      models, versions, measurements, nodes
         blobs/           files and manifests by SHA-256
         uploads/         blobs that publishers elsewhere are sending
         work/            temporary folders of publishing, each removed when it ends
         audit.jsonl      who changed what, by RPC
         trust/           the update repository: signed metadata, never keys
         searches/        what searches for mixed variants measured, so that none is repeated
    """

    home: Path  # RSQ_HOME/server
    database_url: str | None = None  # PostgreSQL instead of HOME/registry.db
    blobs_url: str | None = None  # S3 instead of HOME/blobs
    listen: str = DEFAULT_LISTEN
    insecure: bool = False  # allow a bind beyond loopback without TLS and tokens
    tls: ServerTls | None = None
    require_token: bool = False  # on loopback too
    limits: Limits = NO_LIMITS  # of each caller

    @property
    def database(self) -> Path | str:
        return self.database_url or self.home / "registry.db"

    @property
    def blobs_folder(self) -> Path:
        return self.home / "blobs"

    @property
    def work_folder(self) -> Path:
        return self.home / "work"

    @property
    def uploads_folder(self) -> Path:
        return self.home / "uploads"

    @property
    def trust_folder(self) -> Path:
        return self.home / "trust"

    @property
    def journal_folder(self) -> Path:
        return self.home / "searches"
