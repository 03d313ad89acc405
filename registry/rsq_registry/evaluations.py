"""Evaluations of artifacts and of pairs. A newer one supersedes; none is ever changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session, joinedload, selectinload

from rsq.digest import digest_bytes
from rsq.manifest import canonical_json
from rsq.records import ArtifactEvaluation, PairEvaluation
from rsq_registry import tables


def add_evaluation(session: Session, record: ArtifactEvaluation, *, at: datetime) -> None:
    """Adds the record, unless it is the artifact's newest already: the same version published again
    adds nothing."""
    digest = _record_digest(record)
    newest = session.scalar(
        select(tables.Evaluation.digest)
        .where(tables.Evaluation.artifact_id == record.artifact_id)
        .order_by(tables.Evaluation.id.desc())
        .limit(1)
    )
    if newest == digest:
        return
    session.add(
        tables.Evaluation(
            artifact_id=record.artifact_id,
            dataset=_find_or_add_dataset(session, record.dataset, record.dataset_digest),
            digest=digest,
            recorded_at=at,
            metrics=[
                tables.EvaluationMetric(name=name, value=value)
                for name, value in record.metrics.items()
            ],
        )
    )
    session.flush()


def add_pair(session: Session, record: PairEvaluation, *, at: datetime) -> None:
    """Adds the record, unless it is the pair's newest already."""
    digest = _record_digest(record)
    newest = session.scalar(
        select(tables.PairEvaluation.digest)
        .where(
            tables.PairEvaluation.vision_id == record.vision_id,
            tables.PairEvaluation.text_id == record.text_id,
        )
        .order_by(tables.PairEvaluation.id.desc())
        .limit(1)
    )
    if newest == digest:
        return
    session.add(
        tables.PairEvaluation(
            vision_id=record.vision_id,
            text_id=record.text_id,
            dataset=_find_or_add_dataset(session, record.dataset, record.dataset_digest),
            digest=digest,
            recorded_at=at,
            metrics=[
                tables.PairMetric(name=name, value=value) for name, value in record.metrics.items()
            ],
        )
    )
    session.flush()


def newest_evaluations(
    session: Session, artifact_ids: Sequence[str]
) -> dict[str, ArtifactEvaluation]:
    """By artifact id, the newest evaluation of each artifact that has one."""
    newest = (
        select(func.max(tables.Evaluation.id))
        .where(tables.Evaluation.artifact_id.in_(artifact_ids))
        .group_by(tables.Evaluation.artifact_id)
    )
    rows = session.scalars(
        select(tables.Evaluation)
        .where(tables.Evaluation.id.in_(newest))
        .options(joinedload(tables.Evaluation.dataset), selectinload(tables.Evaluation.metrics))
    )
    return {
        row.artifact_id: ArtifactEvaluation(
            artifact_id=row.artifact_id,
            dataset=row.dataset.name,
            dataset_digest=row.dataset.digest,
            metrics={metric.name: metric.value for metric in row.metrics},
        )
        for row in rows
    }


def newest_pairs(session: Session, artifact_ids: Sequence[str]) -> tuple[PairEvaluation, ...]:
    """The newest evaluation of every pair both of whose artifacts are among `artifact_ids`, in the
    order in which the pairs were last evaluated."""
    newest = (
        select(func.max(tables.PairEvaluation.id))
        .where(
            tables.PairEvaluation.vision_id.in_(artifact_ids),
            tables.PairEvaluation.text_id.in_(artifact_ids),
        )
        .group_by(tables.PairEvaluation.vision_id, tables.PairEvaluation.text_id)
    )
    rows = session.scalars(
        select(tables.PairEvaluation)
        .where(tables.PairEvaluation.id.in_(newest))
        .order_by(tables.PairEvaluation.id)
        .options(
            joinedload(tables.PairEvaluation.dataset), selectinload(tables.PairEvaluation.metrics)
        )
    )
    return tuple(
        PairEvaluation(
            vision_id=row.vision_id,
            text_id=row.text_id,
            dataset=row.dataset.name,
            dataset_digest=row.dataset.digest,
            metrics={metric.name: metric.value for metric in row.metrics},
        )
        for row in rows
    )


def _record_digest(record: ArtifactEvaluation | PairEvaluation) -> str:
    return digest_bytes(canonical_json(asdict(record)))


def _find_or_add_dataset(session: Session, name: str, digest: str) -> tables.Dataset:
    dataset = session.scalar(
        select(tables.Dataset).where(tables.Dataset.name == name, tables.Dataset.digest == digest)
    )
    if dataset is None:
        dataset = tables.Dataset(name=name, digest=digest)
        session.add(dataset)
        session.flush()
    return dataset
