"""Which scope each RPC needs, and whether it changes something. Every RPC has its row: a server
does not start with one that has none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rsq.errors import InternalError
from rsq.tokens import Scope

# Answers without a token, so that a supervisor and a balancer need none.
OPEN = frozenset({"grpc.health.v1.Health/Check", "grpc.health.v1.Health/Watch"})


@dataclass(frozen=True)
class Rule:
    """Any one of `scopes` suffices. A call that `changes` something is written to the audit log."""

    scopes: frozenset[Scope]
    changes: bool = False


def _reads(*scopes: Scope) -> Rule:
    return Rule(frozenset(scopes))


def _changes(scope: Scope) -> Rule:
    return Rule(frozenset({scope}), changes=True)


_SERVICES: Mapping[str, Mapping[str, Rule]] = {
    "rsq.v1.Registry": {
        "ListModels": _reads(Scope.PULL),
        "GetVersion": _reads(Scope.PULL),
        "ListAliasEvents": _reads(Scope.PULL),
        "SetAlias": _changes(Scope.PUBLISH),
        "RemoveAlias": _changes(Scope.PUBLISH),
        "DeprecateVersion": _changes(Scope.PUBLISH),
        "DeleteVersion": _changes(Scope.ADMIN),
        "ReportNode": _changes(Scope.REPORT),
        "ListNodes": _reads(Scope.REPORT),
    },
    "rsq.v1.Content": {
        "GetManifest": _reads(Scope.PULL),
        "ReadBlob": _reads(Scope.PULL),
    },
    "rsq.v1.Publishing": {
        "FindMissing": _reads(Scope.PUBLISH),
        "GetUpload": _reads(Scope.PUBLISH),
        "WriteBlob": _changes(Scope.PUBLISH),
        "AddVersion": _changes(Scope.PUBLISH),
    },
    "rsq.v1.Trust": {
        "GetMetadata": _reads(Scope.PULL),
        "AddMetadata": _changes(Scope.PUBLISH),
    },
    "rsq.v1.Agent": {
        "PlanActivation": _reads(Scope.ADMIN),
        "Activate": _changes(Scope.ADMIN),
        "Rollback": _changes(Scope.ADMIN),
        "Load": _changes(Scope.ADMIN),
        "Unload": _changes(Scope.ADMIN),
        "GetStatus": _reads(Scope.EMBED, Scope.SEARCH),
    },
    "rsq.v1.Embedding": {
        "EmbedText": _reads(Scope.EMBED),
        "EmbedImage": _reads(Scope.EMBED),
        "EmbedStream": _reads(Scope.EMBED),
        "Classify": _reads(Scope.EMBED),
        "GetModelInfo": _reads(Scope.EMBED, Scope.SEARCH),
    },
    "rsq.v1.Retrieval": {
        "Index": _changes(Scope.PUBLISH),
        "FindStored": _reads(Scope.PUBLISH),
        "Search": _reads(Scope.SEARCH),
        "Delete": _changes(Scope.PUBLISH),
        "GetStats": _reads(Scope.SEARCH),
    },
    "rsq.v1.Collections": {
        "Export": _reads(Scope.SEARCH),
        "Import": _changes(Scope.PUBLISH),
        "CheckRecall": _reads(Scope.SEARCH),
        "ReadSnapshot": _reads(Scope.SEARCH),
        "RestoreSnapshot": _changes(Scope.ADMIN),
        "Compact": _changes(Scope.ADMIN),
    },
    "rsq.v1.Migrations": {
        "StartMigration": _changes(Scope.ADMIN),
        "GetMigration": _reads(Scope.ADMIN),
        "CutOver": _changes(Scope.ADMIN),
        "RevertMigration": _changes(Scope.ADMIN),
        "CancelMigration": _changes(Scope.ADMIN),
    },
    "inference.GRPCInferenceService": {
        "ServerLive": _reads(Scope.EMBED),
        "ServerReady": _reads(Scope.EMBED),
        "ModelReady": _reads(Scope.EMBED),
        "ServerMetadata": _reads(Scope.EMBED),
        "ModelMetadata": _reads(Scope.EMBED),
        "ModelInfer": _reads(Scope.EMBED),
        "ModelStreamInfer": _reads(Scope.EMBED),
        "ModelConfig": _reads(Scope.EMBED),
        "RepositoryIndex": _reads(Scope.EMBED),
        "RepositoryModelLoad": _changes(Scope.ADMIN),
        "RepositoryModelUnload": _changes(Scope.ADMIN),
    },
    # What the services are called is no secret to whoever may use one of them.
    "grpc.reflection.v1alpha.ServerReflection": {"ServerReflectionInfo": _reads(*Scope)},
}
RULES: Mapping[str, Rule] = {
    f"{service}/{method}": rule
    for service, methods in _SERVICES.items()
    for method, rule in methods.items()
}


def changes_something(method: str) -> bool:
    rule = RULES.get(method)
    return rule is not None and rule.changes


def require_rules(services: Iterable[str]) -> None:
    """Raises InternalError for an RPC of `services` (full names) that has no row here."""
    from google.protobuf import descriptor_pool

    for name in services:
        for method in descriptor_pool.Default().FindServiceByName(name).methods:
            path = f"{name}/{method.name}"
            if path not in RULES and path not in OPEN:
                raise InternalError(f"{path} has no row in rsq.rpc.scopes: nobody may call it.")
