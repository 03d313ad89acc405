"""Signs what a registry has."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol

from tuf.api.metadata import Targets

from rsq.errors import BadInput
from rsq.records import AliasEvent, ModelRow, VersionRow
from rsq.reference import parse_reference
from rsq.updates.signed_version import aliases_to_target, to_targets
from rsq_server.signing.keys import Signers
from rsq_server.signing.repository import Change, Repository, put_targets, remove_targets


class SignedRegistry(Protocol):
    """What signing asks a registry for."""

    def models(self) -> list[ModelRow]: ...

    def version(self, reference: str) -> VersionRow: ...

    def alias_history(self, model: str) -> list[AliasEvent]: ...


def sign_versions(
    repository: Repository,
    registry: SignedRegistry,
    reference: str,
    signers: Signers,
    *,
    manifest: Callable[[str], bytes],
) -> Change:
    """Signs NAME:3, or every version of NAME, and with them the aliases of NAME, as far as they
    name a signed version. `manifest` gives manifests by artifact id.

    Raises NotFound for an unknown model or version, BadInput for an alias or a deleted version.
    """
    wanted = parse_reference(reference)
    if wanted.alias is not None:
        raise BadInput(f"Aliases move; sign {wanted.name} or one version, such as {wanted.name}:3.")
    versions = _versions(registry, wanted.name, wanted.number)
    files = [(version, to_targets(version, manifest)) for version in versions]
    events = registry.alias_history(wanted.name)

    def change(targets: Targets) -> None:
        for version, signed in files:
            put_targets(signed, below=f"{version.model}/{version.version}/")(targets)
        _sign_aliases(targets, wanted.name, events)

    return repository.change_targets(change, signers)


def withdraw_version(repository: Repository, reference: str, signers: Signers) -> Change:
    """Takes the signature of NAME:2 back: nodes no longer pull it. Raises BadInput for anything but
    a version that is signed."""
    wanted = parse_reference(reference)
    if wanted.number is None:
        raise BadInput(f"Name one version to withdraw, such as {wanted.name}:2.")
    below = f"{wanted.name}/{wanted.number}/"

    def change(targets: Targets) -> None:
        if not any(path.startswith(below) for path in targets.targets):
            raise BadInput(f"{reference} is not signed.")
        remove_targets(below)(targets)
        known = targets.targets.get(f"{wanted.name}/aliases.json")
        numbers = _signed_numbers(targets, wanted.name)
        if known is None or not numbers:
            remove_targets(f"{wanted.name}/aliases.json")(targets)
            return
        listed = known.custom["aliases"]
        events = [
            AliasEvent(wanted.name, alias, event["version"], event["at"], event["by"])
            for alias, event in listed.items()
        ]
        _sign_aliases(targets, wanted.name, events)

    return repository.change_targets(change, signers)


def _versions(registry: SignedRegistry, name: str, number: int | None) -> list[VersionRow]:
    if number is not None:
        version = registry.version(f"{name}:{number}")
        if version.deleted_at is not None:
            raise BadInput(f"{name}:{number} was deleted; sign another version.")
        return [version]
    newest = registry.version(name)  # raises NotFound in the registry's own words
    highest = next(row.newest for row in registry.models() if row.name == newest.model)
    rows = [registry.version(f"{name}:{n}") for n in range(1, highest + 1)]
    return [row for row in rows if row.deleted_at is None]


def _sign_aliases(targets: Targets, name: str, events: list[AliasEvent]) -> None:
    numbers = _signed_numbers(targets, name)
    last = {event.alias: event for event in events}
    kept = [event for event in last.values() if event.version in numbers]
    put_targets([aliases_to_target(name, max(numbers), kept)])(targets)


def _signed_numbers(targets: Targets, name: str) -> set[int]:
    found = (re.fullmatch(r"([^/]+)/([0-9]+)/version\.json", path) for path in targets.targets)
    return {int(match[2]) for match in found if match is not None and match[1] == name}
