"""A version as scripts read it and as people see it: the same numbers as JSON and as table rows."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rsq.records import (
    PUBLISHER,
    ArtifactEvaluation,
    ArtifactRow,
    PairEvaluation,
    Profile,
    VersionRow,
)
from rsq.units import format_size
from rsq_server.gates import FIXED_GATES, Gates, Verdict, judge

RECALL_COLUMNS = ("recall_at_1_change", "recall_at_5_change", "recall_at_10_change")


def version_to_json(version: VersionRow, gates: Gates = FIXED_GATES) -> dict[str, Any]:
    """The object that `publish --json` and `show --json` print; sizes in bytes, times in
    milliseconds, shares as fractions. The verdicts are those of `gates`."""
    variants = {row.id: row.variant for row in version.artifacts}
    verdicts = judge(version.artifacts, gates)
    return {
        "model": version.model,
        "version": version.version,
        "space_id": version.space_id,
        "dimension": version.dimension,
        "created_at": version.created_at,
        "licence": version.licence,
        "source": version.source,
        "aliases": list(version.aliases),
        "deprecated": version.deprecated,
        "deleted_at": version.deleted_at,
        "artifacts": [_artifact_to_json(row, verdicts[row.id]) for row in version.artifacts],
        "pairs": [
            {
                "vision": variants[pair.vision_id],
                "text": variants[pair.text_id],
                "evaluation": _evaluation_to_json(pair),
            }
            for pair in version.pairs
        ],
    }


def version_table_rows(version: VersionRow, gates: Gates = FIXED_GATES) -> list[dict[str, str]]:
    """One row an artifact; the keys are the column titles, the same in each row. Peak memory and
    latency are the publisher's, per batch size; "-" where nothing was measured. The verdicts are
    those of `gates`."""
    verdicts = judge(version.artifacts, gates)
    batches = sorted({profile.batch for row in version.artifacts for profile in _published(row)})
    return [_table_row(row, batches, verdicts[row.id]) for row in version.artifacts]


def _table_row(row: ArtifactRow, batches: list[int], verdict: Verdict) -> dict[str, str]:
    profiles = {profile.batch: profile for profile in _published(row)}
    metrics = row.evaluation.metrics if row.evaluation else {}
    cells = {"tower": row.tower, "variant": row.variant, "size": format_size(row.size_bytes)}
    for batch in batches:
        profile = profiles.get(batch)
        cells[f"peak memory, batch {batch}"] = format_size(profile.peak_bytes) if profile else "-"
    for batch in batches:
        profile = profiles.get(batch)
        times = f"{profile.p50_ms:.1f} / {profile.p95_ms:.1f}" if profile else "-"
        cells[f"p50 / p95 ms, batch {batch}"] = times
    cells["cosine"] = _number(metrics, "cosine_mean", "{:.5f}")
    cells["top-1 match"] = _number(metrics, "top1_match", "{:.1%}")
    cells["top-3 match"] = _number(metrics, "top3_match", "{:.1%}")
    changes = [_number(metrics, name, "{:+.1%}") for name in RECALL_COLUMNS]
    cells["recall@1/5/10 change"] = " ".join(changes) if set(changes) != {"-"} else "-"
    cells["verdict"] = str(verdict)
    return cells


def _number(metrics: dict[str, float], name: str, form: str) -> str:
    return form.format(metrics[name]) if name in metrics else "-"


def _published(row: ArtifactRow) -> list[Profile]:
    return [profile for profile in row.profiles if profile.source == PUBLISHER]


def _artifact_to_json(row: ArtifactRow, verdict: Verdict) -> dict[str, Any]:
    return {
        "id": row.id,
        "tower": row.tower,
        "variant": row.variant,
        "size_bytes": row.size_bytes,
        "providers": list(row.providers),
        "batch_invariant": row.batch_invariant,
        "evaluation": _evaluation_to_json(row.evaluation) if row.evaluation else None,
        "profiles": [_profile_to_json(profile) for profile in row.profiles],
        "verdict": str(verdict),
        "verdict_reason": verdict.reason,
    }


def _profile_to_json(profile: Profile) -> dict[str, Any]:
    fields = asdict(profile)
    del fields["artifact_id"]  # the artifact's own entry holds it
    return fields


def _evaluation_to_json(evaluation: ArtifactEvaluation | PairEvaluation) -> dict[str, Any]:
    return {
        **evaluation.metrics,
        "dataset": evaluation.dataset,
        "dataset_digest": evaluation.dataset_digest,
    }
