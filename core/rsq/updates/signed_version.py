"""What is signed of a version, as targets of the update repository:

    NAME/3/version.json        the version's record, in full as custom data
    NAME/3/vision/int8.json    an artifact's manifest; custom: its evaluation and lineage
    NAME/aliases.json          which versions the aliases name, since when and by whom; the newest

So a node without a network can check what it runs, how it measured, where it came from, and why it
was promoted. Profiles are not signed: nodes go on reporting them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from rsq.digest import digest_bytes
from rsq.errors import BadManifest, Untrusted
from rsq.json_fields import read_integer, read_string
from rsq.manifest import Manifest, canonical_json, decode_manifest
from rsq.records import AliasEvent, ArtifactRow, VersionRow
from rsq.version_record import decode_version, encode_version

MAX_ALIASES = 1000


@dataclass(frozen=True)
class SignedFile:
    """A target: what its bytes are, and what was signed beside them."""

    path: str
    sha256: str
    size_bytes: int
    custom: dict[str, Any]


@dataclass(frozen=True)
class Aliases:
    """The versions that a model's signed aliases name, and the newest signed one."""

    newest: int
    versions: dict[str, int]


def version_path(model: str, version: int) -> str:
    return f"{model}/{version}/version.json"


def artifact_path(model: str, version: int, row: ArtifactRow) -> str:
    return f"{model}/{version}/{row.tower}/{row.variant}.json"


def aliases_path(model: str) -> str:
    return f"{model}/aliases.json"


def to_targets(version: VersionRow, manifest: Callable[[str], bytes]) -> list[SignedFile]:
    """Everything that is signed of `version`; `manifest` gives manifests by artifact id."""
    bare = replace(
        version,
        artifacts=tuple(replace(row, evaluation=None, profiles=()) for row in version.artifacts),
    )
    path = version_path(version.model, version.version)
    files = [_target(path, {"record": encode_version(bare).decode()})]
    for row in version.artifacts:
        data = manifest(row.id)
        path = artifact_path(version.model, version.version, row)
        files.append(SignedFile(path, row.id, len(data), _describe(row, decode_manifest(data))))
    return files


def aliases_to_target(model: str, newest: int, events: list[AliasEvent]) -> SignedFile:
    """`events` is the alias history, oldest first: the last one of each alias counts."""
    last = {event.alias: event for event in events}
    aliases = {
        name: {"version": event.version, "at": event.at, "by": event.by}
        for name, event in sorted(last.items())
        if event.version is not None
    }
    return _target(aliases_path(model), {"newest": newest, "aliases": aliases})


def read_version(custom: object, artifacts: Mapping[str, object]) -> VersionRow:
    """The signed version, without profiles; `artifacts` has the custom data of those to keep the
    evaluations of, by their ids. Raises Untrusted."""
    try:
        fields = json.loads(_object(custom)["record"])
        for row in fields["artifacts"]:
            signed = artifacts.get(row["id"])
            if signed is not None:
                row["evaluation"] = json.loads(_object(signed)["evaluation"])
        return decode_version(canonical_json(fields))
    except (BadManifest, KeyError, TypeError, ValueError, RecursionError) as e:
        raise Untrusted("What was signed of the version is malformed. Sign it anew.") from e


def read_aliases(custom: object) -> Aliases:
    """Raises Untrusted for what is malformed."""
    try:
        fields = _object(custom)
        listed = _object(fields["aliases"])
        if len(listed) > MAX_ALIASES:
            raise Untrusted(f"The signed metadata has over {MAX_ALIASES} aliases of one model.")
        versions = {name: read_integer(listed[name], "version", 1, 1 << 31) for name in listed}
        return Aliases(read_integer(fields, "newest", 1, 1 << 31), versions)
    except (BadManifest, KeyError, TypeError, ValueError) as e:
        raise Untrusted("The signed aliases are malformed. Sign them anew.") from e


def read_promotions(custom: object) -> dict[str, dict[str, str]]:
    """By alias since when (`at`) it names its version, and by whom (`by`). Raises Untrusted."""
    try:
        listed = _object(_object(custom)["aliases"])
        return {
            name: {key: read_string(event, key) for key in ("at", "by")}
            for name, event in listed.items()
        }
    except (KeyError, TypeError) as e:
        raise Untrusted("The signed aliases are malformed. Sign them anew.") from e


def _describe(row: ArtifactRow, manifest: Manifest) -> dict[str, Any]:
    """Numbers as JSON in a text, since signed metadata knows no fractions."""
    evaluation = None if row.evaluation is None else asdict(row.evaluation)
    return {
        "evaluation": canonical_json(evaluation).decode(),
        "lineage": asdict(manifest.lineage),
        "recipe": manifest.recipe.name,
    }


def _target(path: str, custom: dict[str, Any]) -> SignedFile:
    data = canonical_json(custom)
    return SignedFile(path, digest_bytes(data), len(data), custom)


def _object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError
    return value
