"""The registry that a command asks: the local data folder's, or a running server's."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from rsq.connection_options import server_endpoint
from rsq_server.cli.options import build_config

if TYPE_CHECKING:
    from rsq.records import AliasEvent, ModelRow, NodeRow, VersionRow
    from rsq_registry.catalogue import Catalogue


class Registry(Protocol):
    """What the reporting commands need; `rsq.rpc.registry.RegistryClient` is one."""

    def models(self) -> list[ModelRow]:
        """All models by name."""
        ...

    def version(self, reference: str) -> VersionRow:
        """What NAME, NAME:3 or NAME@alias means. Raises BadInput, NotFound."""
        ...

    def set_alias(self, model: str, alias: str, version: int) -> None:
        """Moves the alias. Raises BadInput, NotFound."""
        ...

    def remove_alias(self, model: str, alias: str) -> None:
        """Raises BadInput, NotFound."""
        ...

    def alias_history(self, model: str) -> list[AliasEvent]:
        """Every move of every alias of the model, oldest first. Raises BadInput, NotFound."""
        ...

    def deprecate(self, model: str, version: int, reason: str | None) -> None:
        """Advises against the version; None takes that back. Raises BadInput, NotFound."""
        ...

    def delete_version(self, model: str, version: int) -> None:
        """Gives up the version's files. Raises NotFound, BadInput while an alias points at it."""
        ...

    def nodes(self) -> list[NodeRow]:
        """All nodes by id."""
        ...


class LocalRegistry:
    """The registry in the data folder of this machine."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def models(self) -> list[ModelRow]:
        return self._catalogue.models()

    def version(self, reference: str) -> VersionRow:
        return self._catalogue.resolve_reference(reference)

    def set_alias(self, model: str, alias: str, version: int) -> None:
        self._catalogue.set_alias(model, alias, version, by=user_name())

    def remove_alias(self, model: str, alias: str) -> None:
        self._catalogue.set_alias(model, alias, None, by=user_name())

    def alias_history(self, model: str) -> list[AliasEvent]:
        return self._catalogue.alias_history(model)

    def deprecate(self, model: str, version: int, reason: str | None) -> None:
        self._catalogue.deprecate(model, version, reason)

    def delete_version(self, model: str, version: int) -> None:
        self._catalogue.delete_version(model, version)

    def nodes(self) -> list[NodeRow]:
        return self._catalogue.nodes()


@contextmanager
def open_registry(server: str | None) -> Iterator[Registry]:
    """The registry at `server` (HOST:PORT), or the local one for None."""
    if server is not None:
        from rsq.rpc.registry import RegistryClient

        with RegistryClient(server_endpoint(server)) as client:
            yield client
        return
    from rsq_server.app import open_stores

    with open_stores(build_config()) as stores:
        yield LocalRegistry(stores.catalogue)


def user_name() -> str:
    """Who runs this command, for the history of aliases."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return f"user {os.getuid()}"
