"""`rsq-server token`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rsq.token_commands import make_token_app
from rsq.tokens import TokenStore
from rsq_server.cli.options import build_config


@contextmanager
def _open_store() -> Iterator[TokenStore]:
    from rsq_server.app import open_stores

    with open_stores(build_config()) as stores:
        yield stores.tokens


token = make_token_app("rsq-server", _open_store)
