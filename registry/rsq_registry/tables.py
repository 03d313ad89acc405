"""The registry's tables.

models ─< versions >─< artifacts ─< artifact_files, artifact_providers
   │                       ├──────< profiles
   │                       ├──────< evaluations ─< evaluation_metrics      >─ datasets
   │                       └──────< pair_evaluations ─< pair_metrics       >─ datasets
   └──< alias_events
nodes ─< node_providers, node_artifacts
leases
tokens

An artifact's key is its manifest's SHA-256; the manifest's bytes are the blob of that digest. One
artifact may belong to several versions. Rows of alias_events and evaluations are only ever added,
and of a version only `deprecated` and `deleted_at` ever change. Nodes name models and artifacts
without a foreign key: a node may run what this registry does not hold, since it pulled it from a
mirror.
"""

from __future__ import annotations

from sqlalchemy import ForeignKey, ForeignKeyConstraint, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from rsq_registry.columns import (
    AliasName,
    Base,
    Digest,
    Key,
    Link,
    ModelName,
    Moment,
    Size,
    Text,
    TokenId,
    TowerName,
    Word,
)


class Model(Base):
    __tablename__ = "models"

    id: Mapped[Key]
    name: Mapped[ModelName] = mapped_column(unique=True)
    # The last number given out. Publishing locks this row, so no two versions get one number.
    last_number: Mapped[int]


class VersionArtifact(Base):
    __tablename__ = "version_artifacts"

    version_id: Mapped[Key] = mapped_column(ForeignKey("versions.id"))
    artifact_id: Mapped[Digest] = mapped_column(
        ForeignKey("artifacts.id"), primary_key=True, index=True
    )
    position: Mapped[int]


class Version(Base):
    __tablename__ = "versions"
    __table_args__ = (UniqueConstraint("model_id", "number"),)

    id: Mapped[Key]
    model_id: Mapped[Link] = mapped_column(ForeignKey("models.id"))
    number: Mapped[int]
    created_at: Mapped[Moment]
    space_id: Mapped[Digest]
    dimension: Mapped[int]
    licence: Mapped[Text]
    source: Mapped[Text]
    source_digest: Mapped[Digest]
    details_digest: Mapped[Digest | None]  # of the blob with what its report shows
    deprecated: Mapped[Text | None]  # why it is advised against
    deleted_at: Mapped[Moment | None]  # since then its files may be gone

    model: Mapped[Model] = relationship()
    artifacts: Mapped[list[Artifact]] = relationship(
        secondary="version_artifacts", order_by=VersionArtifact.position, viewonly=True
    )


class Lease(Base):
    """A blob that is kept until then whether or not a version names it."""

    __tablename__ = "leases"

    digest: Mapped[Digest] = mapped_column(primary_key=True)
    expires_at: Mapped[Moment]


class Token(Base):
    """A bearer token without its secret."""

    __tablename__ = "tokens"

    id: Mapped[TokenId] = mapped_column(primary_key=True)
    name: Mapped[Word] = mapped_column(index=True)
    secret_sha256: Mapped[Digest]
    scopes: Mapped[Text]  # words with a space between
    created_at: Mapped[Moment]
    expires_at: Mapped[Moment | None]
    revoked_at: Mapped[Moment | None]


class Artifact(Base):
    __tablename__ = "artifacts"

    id: Mapped[Digest] = mapped_column(primary_key=True)
    tower: Mapped[TowerName]
    variant: Mapped[Word]
    format: Mapped[Word]
    size_bytes: Mapped[Size]  # graph and weights
    manifest_bytes: Mapped[Size]  # length of the manifest's blob
    batch_invariant: Mapped[bool]

    providers: Mapped[list[ArtifactProvider]] = relationship(order_by="ArtifactProvider.position")
    files: Mapped[list[ArtifactFile]] = relationship(order_by="ArtifactFile.position")


class ArtifactProvider(Base):
    __tablename__ = "artifact_providers"

    artifact_id: Mapped[Digest] = mapped_column(ForeignKey("artifacts.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    provider: Mapped[Word]


class ArtifactFile(Base):
    __tablename__ = "artifact_files"

    artifact_id: Mapped[Digest] = mapped_column(ForeignKey("artifacts.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    role: Mapped[Word]
    name: Mapped[Word]
    size_bytes: Mapped[Size]
    sha256: Mapped[Digest] = mapped_column(index=True)


class Profile(Base):
    __tablename__ = "profiles"
    __table_args__ = (Index(None, "artifact_id", "source"),)

    id: Mapped[Key]
    artifact_id: Mapped[Digest] = mapped_column(ForeignKey("artifacts.id"))
    device: Mapped[Text]
    provider: Mapped[Word]
    batch: Mapped[int]
    workers: Mapped[int]
    threads: Mapped[int]
    p50_ms: Mapped[float]
    p95_ms: Mapped[float]
    per_second: Mapped[float]
    load_ms: Mapped[float]
    peak_bytes: Mapped[Size]
    steady_bytes: Mapped[Size]
    baseline_bytes: Mapped[Size]
    source: Mapped[Text]
    recorded_at: Mapped[Moment]


class Dataset(Base):
    __tablename__ = "datasets"
    __table_args__ = (UniqueConstraint("name", "digest"),)

    id: Mapped[Key]
    name: Mapped[Text]
    digest: Mapped[Digest]


class Evaluation(Base):
    __tablename__ = "evaluations"

    id: Mapped[Key]
    artifact_id: Mapped[Digest] = mapped_column(ForeignKey("artifacts.id"), index=True)
    dataset_id: Mapped[Link] = mapped_column(ForeignKey("datasets.id"))
    digest: Mapped[Digest]  # of the record's canonical JSON
    recorded_at: Mapped[Moment]

    dataset: Mapped[Dataset] = relationship()
    metrics: Mapped[list[EvaluationMetric]] = relationship(order_by="EvaluationMetric.name")


class EvaluationMetric(Base):
    __tablename__ = "evaluation_metrics"

    evaluation_id: Mapped[Key] = mapped_column(ForeignKey("evaluations.id"))
    name: Mapped[Word] = mapped_column(primary_key=True)
    value: Mapped[float]


class PairEvaluation(Base):
    __tablename__ = "pair_evaluations"
    __table_args__ = (Index(None, "vision_id", "text_id"),)

    id: Mapped[Key]
    vision_id: Mapped[Digest] = mapped_column(ForeignKey("artifacts.id"))
    text_id: Mapped[Digest] = mapped_column(ForeignKey("artifacts.id"))
    dataset_id: Mapped[Link] = mapped_column(ForeignKey("datasets.id"))
    digest: Mapped[Digest]
    recorded_at: Mapped[Moment]

    dataset: Mapped[Dataset] = relationship()
    metrics: Mapped[list[PairMetric]] = relationship(order_by="PairMetric.name")


class PairMetric(Base):
    __tablename__ = "pair_metrics"

    pair_evaluation_id: Mapped[Key] = mapped_column(ForeignKey("pair_evaluations.id"))
    name: Mapped[Word] = mapped_column(primary_key=True)
    value: Mapped[float]


class AliasEvent(Base):
    """`number` is None where the alias was removed. The newest event is the alias's value."""

    __tablename__ = "alias_events"
    __table_args__ = (
        ForeignKeyConstraint(["model_id", "number"], ["versions.model_id", "versions.number"]),
        Index(None, "model_id", "alias"),
    )

    id: Mapped[Key]
    model_id: Mapped[Link] = mapped_column(ForeignKey("models.id"))
    alias: Mapped[AliasName]
    number: Mapped[int | None]
    at: Mapped[Moment]
    by: Mapped[Text]


class Node(Base):
    __tablename__ = "nodes"

    id: Mapped[Word] = mapped_column(primary_key=True)
    hostname: Mapped[Text]
    agent_version: Mapped[Word]
    device: Mapped[Text]
    memory_bytes: Mapped[Size]
    model: Mapped[ModelName]
    version: Mapped[int]
    seen_at: Mapped[Moment]

    providers: Mapped[list[NodeProvider]] = relationship(
        order_by="NodeProvider.position", cascade="all, delete-orphan"
    )
    artifacts: Mapped[list[NodeArtifact]] = relationship(
        order_by="NodeArtifact.position", cascade="all, delete-orphan"
    )


class NodeProvider(Base):
    __tablename__ = "node_providers"

    node_id: Mapped[Word] = mapped_column(ForeignKey("nodes.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    provider: Mapped[Word]


class NodeArtifact(Base):
    __tablename__ = "node_artifacts"

    node_id: Mapped[Word] = mapped_column(ForeignKey("nodes.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    artifact_id: Mapped[Digest]
