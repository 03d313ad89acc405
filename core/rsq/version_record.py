"""A version with all its records as one JSON document: what bundles carry and publishers send.

The document says nothing of the registry that holds the version, so its aliases stay behind, and
whoever reads it gives the version a number and a time of its own.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from rsq.digest import is_digest
from rsq.errors import BadManifest
from rsq.json_fields import read_boolean, read_integer, read_number, read_string
from rsq.manifest import MAX_FILE_BYTES, TOWERS, canonical_json
from rsq.records import ArtifactEvaluation, ArtifactRow, PairEvaluation, Profile, VersionRow

SCHEMA = 1
MAX_RECORD_BYTES = 16 << 20
MAX_ARTIFACTS = 64  # of one version
MAX_RECORDS = 8192  # pairs, or an artifact's profiles
_LEFT_OUT = frozenset({"aliases", "deprecated", "deleted_at"})


def encode_version(version: VersionRow) -> bytes:
    """The canonical bytes."""
    fields = {name: value for name, value in asdict(version).items() if name not in _LEFT_OUT}
    return canonical_json({"schema": SCHEMA, **fields})


def decode_version(data: bytes) -> VersionRow:
    """The version, without aliases. Raises BadManifest for what is malformed, oversized or of a
    newer schema; names and numbers are for the registry to judge."""
    if len(data) > MAX_RECORD_BYTES:
        raise BadManifest(f"The version's record has {len(data)} bytes, over {MAX_RECORD_BYTES}.")
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError) as e:
        raise BadManifest("The version's record is not JSON.") from e
    try:
        schema = read_integer(fields, "schema", 1, 1 << 31)
        if schema > SCHEMA:
            raise BadManifest(
                f"The version's record has schema {schema}; this rsq reads up to {SCHEMA}. "
                "Upgrade rsq."
            )
        return _version(fields)
    except KeyError as e:
        raise BadManifest(f"The version's record lacks the field {e.args[0]!r}.") from e
    except (TypeError, ValueError, AttributeError) as e:
        raise BadManifest("The version's record has a field of the wrong type.") from e


def _version(fields: dict[str, Any]) -> VersionRow:
    return VersionRow(
        model=read_string(fields, "model"),
        version=read_integer(fields, "version", 0, 1 << 31),
        space_id=_digest(fields, "space_id"),
        dimension=read_integer(fields, "dimension", 1, 1 << 16),
        created_at=read_string(fields, "created_at"),
        licence=read_string(fields, "licence"),
        source=read_string(fields, "source"),
        artifacts=tuple(_artifact(row) for row in _list(fields, "artifacts", MAX_ARTIFACTS)),
        pairs=tuple(_pair(row) for row in _list(fields, "pairs", MAX_RECORDS)),
        source_digest=_digest(fields, "source_digest"),
        details_digest=None
        if fields.get("details_digest") is None
        else _digest(fields, "details_digest"),
    )


def _artifact(fields: dict[str, Any]) -> ArtifactRow:
    identity = _digest(fields, "id")
    tower = fields["tower"]
    if tower not in TOWERS:
        raise BadManifest(f"Unknown tower {str(tower)[:40]!r}.")
    evaluation = fields.get("evaluation")
    return ArtifactRow(
        id=identity,
        tower=tower,
        variant=read_string(fields, "variant"),
        size_bytes=read_integer(fields, "size_bytes", 0, MAX_FILE_BYTES),
        providers=tuple(str(provider) for provider in _list(fields, "providers", MAX_ARTIFACTS)),
        batch_invariant=read_boolean(fields, "batch_invariant"),
        evaluation=None
        if evaluation is None
        else ArtifactEvaluation(
            identity,
            read_string(evaluation, "dataset"),
            _digest(evaluation, "dataset_digest"),
            _metrics(evaluation),
        ),
        profiles=tuple(_profile(identity, row) for row in _list(fields, "profiles", MAX_RECORDS)),
    )


def _pair(fields: dict[str, Any]) -> PairEvaluation:
    return PairEvaluation(
        _digest(fields, "vision_id"),
        _digest(fields, "text_id"),
        read_string(fields, "dataset"),
        _digest(fields, "dataset_digest"),
        _metrics(fields),
    )


def _profile(artifact_id: str, fields: dict[str, Any]) -> Profile:
    return Profile(
        artifact_id=artifact_id,
        device=read_string(fields, "device"),
        provider=read_string(fields, "provider"),
        batch=read_integer(fields, "batch", 1, 1 << 31),
        workers=read_integer(fields, "workers", 1, 1 << 31),
        threads=read_integer(fields, "threads", 1, 1 << 31),
        p50_ms=read_number(fields, "p50_ms"),
        p95_ms=read_number(fields, "p95_ms"),
        per_second=read_number(fields, "per_second"),
        load_ms=read_number(fields, "load_ms"),
        peak_bytes=read_integer(fields, "peak_bytes", 0, 1 << 62),
        steady_bytes=read_integer(fields, "steady_bytes", 0, 1 << 62),
        baseline_bytes=read_integer(fields, "baseline_bytes", 0, 1 << 62),
        source=read_string(fields, "source"),
    )


def _metrics(fields: dict[str, Any]) -> dict[str, float]:
    metrics = fields["metrics"]
    if not isinstance(metrics, dict):
        raise TypeError("metrics")
    return {str(name): read_number(metrics, name) for name in metrics}


def _digest(fields: dict[str, Any], key: str) -> str:
    value = read_string(fields, key)
    if not is_digest(value):
        raise BadManifest(f"The version's record holds something else than a digest as {key}.")
    return value


def _list(fields: dict[str, Any], key: str, limit: int) -> list[Any]:
    value = fields[key]
    if not isinstance(value, list):
        raise TypeError(key)
    if len(value) > limit:
        raise BadManifest(f"The version's record has {len(value)} {key}, over {limit}.")
    return value
