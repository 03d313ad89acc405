"""sharing.json: which artifacts may fill one collection together, as each pull learns it.

    {"schema": 1, "artifacts": {ID: {"name": "git-rsclip-base:3 int8", "reference": false,
                                     "may_share": true}}}

The publisher measured each vision artifact against its version's FP32, the reference
(docs/decisions/0013). Whoever may share with the reference may share with all who may.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from rsq.durable import disk_failures, write_durably
from rsq.errors import EnvironmentFault, SpaceMismatch
from rsq.records import VersionRow
from rsq.sharing import may_share
from rsq_agent.cache import Cache

if TYPE_CHECKING:  # a pull, which starts quickly, needs no collections
    from rsq_agent.collections.collection_interface import VectorCollection

SCHEMA = 1
_REFERENCE = "fp32"


@dataclass(frozen=True)
class Sharing:
    """Of one vision artifact."""

    name: str
    reference: bool
    may_share: bool  # with the reference


def record_sharing(cache: Cache, version: VersionRow) -> None:
    """Adds what `version` says of its vision artifacts. Raises Exhausted or EnvironmentFault where
    it can't be written."""
    table = load_sharing(cache)
    for row in version.artifacts:
        if row.tower == "vision":
            metrics = row.evaluation.metrics if row.evaluation is not None else {}
            table[row.id] = Sharing(
                f"{version.model}:{version.version} {row.variant}",
                row.variant == _REFERENCE,
                may_share(metrics),
            )
    rows = {key: asdict(row) for key, row in sorted(table.items())}
    text = json.dumps({"schema": SCHEMA, "artifacts": rows}, indent=2) + "\n"
    cache.home.mkdir(parents=True, exist_ok=True)
    with disk_failures("What may share a collection can't be written down"):
        write_durably(cache.sharing_path, text.encode())


def load_sharing(cache: Cache) -> dict[str, Sharing]:
    """By artifact id; empty before the first pull. Raises EnvironmentFault for a file of a newer
    release or a damaged one."""
    try:
        fields = json.loads(cache.sharing_path.read_bytes())
        if fields["schema"] != SCHEMA:
            raise EnvironmentFault(
                f"{cache.sharing_path} has schema {fields['schema']}; this rsq reads {SCHEMA}. "
                "Upgrade rsq."
            )
        return {key: Sharing(**row) for key, row in fields["artifacts"].items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
        raise EnvironmentFault(
            f"{cache.sharing_path} can't be read; remove it and pull again."
        ) from e


def check_sharing(
    cache: Cache,
    artifact_id: str,
    collection: VectorCollection,
    *,
    coming: Collection[str] = (),
) -> None:
    """Raises SpaceMismatch where `collection` holds vectors of an artifact that `artifact_id` may
    not be mixed with, or `coming` names one whose vectors are on their way there."""
    held = {*collection.stats().artifacts, *coming} - {artifact_id}
    if not held:
        return
    table = load_sharing(cache)
    for other in sorted(held):
        if not _are_compatible(table, (artifact_id, other)):
            names = [
                table[key].name if key in table else f"artifact {key[:12]}"
                for key in (artifact_id, other)
            ]
            raise SpaceMismatch(
                f"The collection {collection.name!r} holds vectors of {names[1]}, and it was not "
                f"measured that those of {names[0]} may lie beside them: index into another "
                "collection, or serve the artifact that filled this one.",
                metadata={"artifact_id": artifact_id, "collection_artifact_id": other},
            )


def _are_compatible(table: dict[str, Sharing], ids: Iterable[str]) -> bool:
    return all(key in table and (table[key].reference or table[key].may_share) for key in ids)
