"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "artifacts",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("tower", sa.String(length=16), nullable=False),
        sa.Column("variant", sa.String(length=128), nullable=False),
        sa.Column("format", sa.String(length=128), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("manifest_bytes", sa.BigInteger(), nullable=False),
        sa.Column("batch_invariant", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_artifacts"),
    )
    op.create_table(
        "datasets",
        sa.Column("id", _ROW_NUMBER, nullable=False),
        sa.Column("name", sa.String(length=512), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_datasets"),
        sa.UniqueConstraint("name", "digest", name="uq_datasets_name_digest"),
    )
    op.create_table(
        "models",
        sa.Column("id", _ROW_NUMBER, nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("last_number", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_models"),
        sa.UniqueConstraint("name", name="uq_models_name"),
    )
    op.create_table(
        "nodes",
        sa.Column("id", sa.String(length=128), nullable=False),
        sa.Column("hostname", sa.String(length=512), nullable=False),
        sa.Column("agent_version", sa.String(length=128), nullable=False),
        sa.Column("device", sa.String(length=512), nullable=False),
        sa.Column("memory_bytes", sa.BigInteger(), nullable=False),
        sa.Column("model", sa.String(length=128), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("seen_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_nodes"),
    )
    op.create_table(
        "artifact_files",
        sa.Column("artifact_id", sa.String(length=64), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("role", sa.String(length=128), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["artifact_id"], ["artifacts.id"], name="fk_artifact_files_artifact_id"
        ),
        sa.PrimaryKeyConstraint("artifact_id", "position", name="pk_artifact_files"),
    )
    op.create_index("ix_artifact_files_sha256", "artifact_files", ["sha256"])
    op.create_table(
        "artifact_providers",
        sa.Column("artifact_id", sa.String(length=64), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("provider", sa.String(length=128), nullable=False),
        sa.ForeignKeyConstraint(
            ["artifact_id"], ["artifacts.id"], name="fk_artifact_providers_artifact_id"
        ),
        sa.PrimaryKeyConstraint("artifact_id", "position", name="pk_artifact_providers"),
    )
    op.create_table(
        "evaluations",
        sa.Column("id", _ROW_NUMBER, nullable=False),
        sa.Column("artifact_id", sa.String(length=64), nullable=False),
        sa.Column("dataset_id", _ROW_NUMBER, nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("recorded_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["artifact_id"], ["artifacts.id"], name="fk_evaluations_artifact_id"
        ),
        sa.ForeignKeyConstraint(["dataset_id"], ["datasets.id"], name="fk_evaluations_dataset_id"),
        sa.PrimaryKeyConstraint("id", name="pk_evaluations"),
    )
    op.create_index("ix_evaluations_artifact_id", "evaluations", ["artifact_id"])
    op.create_table(
        "node_artifacts",
        sa.Column("node_id", sa.String(length=128), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("artifact_id", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["node_id"], ["nodes.id"], name="fk_node_artifacts_node_id"),
        sa.PrimaryKeyConstraint("node_id", "position", name="pk_node_artifacts"),
    )
    op.create_table(
        "node_providers",
        sa.Column("node_id", sa.String(length=128), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("provider", sa.String(length=128), nullable=False),
        sa.ForeignKeyConstraint(["node_id"], ["nodes.id"], name="fk_node_providers_node_id"),
        sa.PrimaryKeyConstraint("node_id", "position", name="pk_node_providers"),
    )
    op.create_table(
        "pair_evaluations",
        sa.Column("id", _ROW_NUMBER, nullable=False),
        sa.Column("vision_id", sa.String(length=64), nullable=False),
        sa.Column("text_id", sa.String(length=64), nullable=False),
        sa.Column("dataset_id", _ROW_NUMBER, nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("recorded_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["datasets.id"], name="fk_pair_evaluations_dataset_id"
        ),
        sa.ForeignKeyConstraint(["text_id"], ["artifacts.id"], name="fk_pair_evaluations_text_id"),
        sa.ForeignKeyConstraint(
            ["vision_id"], ["artifacts.id"], name="fk_pair_evaluations_vision_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_pair_evaluations"),
    )
    op.create_index(
        "ix_pair_evaluations_vision_id_text_id", "pair_evaluations", ["vision_id", "text_id"]
    )
    op.create_table(
        "profiles",
        sa.Column("id", _ROW_NUMBER, nullable=False),
        sa.Column("artifact_id", sa.String(length=64), nullable=False),
        sa.Column("device", sa.String(length=512), nullable=False),
        sa.Column("provider", sa.String(length=128), nullable=False),
        sa.Column("batch", sa.Integer(), nullable=False),
        sa.Column("workers", sa.Integer(), nullable=False),
        sa.Column("threads", sa.Integer(), nullable=False),
        sa.Column("p50_ms", sa.Double(), nullable=False),
        sa.Column("p95_ms", sa.Double(), nullable=False),
        sa.Column("per_second", sa.Double(), nullable=False),
        sa.Column("load_ms", sa.Double(), nullable=False),
        sa.Column("peak_bytes", sa.BigInteger(), nullable=False),
        sa.Column("steady_bytes", sa.BigInteger(), nullable=False),
        sa.Column("baseline_bytes", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.String(length=512), nullable=False),
        sa.Column("recorded_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["artifact_id"], ["artifacts.id"], name="fk_profiles_artifact_id"),
        sa.PrimaryKeyConstraint("id", name="pk_profiles"),
    )
    op.create_index("ix_profiles_artifact_id_source", "profiles", ["artifact_id", "source"])
    op.create_table(
        "versions",
        sa.Column("id", _ROW_NUMBER, nullable=False),
        sa.Column("model_id", _ROW_NUMBER, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("space_id", sa.String(length=64), nullable=False),
        sa.Column("dimension", sa.Integer(), nullable=False),
        sa.Column("licence", sa.String(length=512), nullable=False),
        sa.Column("source", sa.String(length=512), nullable=False),
        sa.Column("source_digest", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_versions_model_id"),
        sa.PrimaryKeyConstraint("id", name="pk_versions"),
        sa.UniqueConstraint("model_id", "number", name="uq_versions_model_id_number"),
    )
    op.create_table(
        "alias_events",
        sa.Column("id", _ROW_NUMBER, nullable=False),
        sa.Column("model_id", _ROW_NUMBER, nullable=False),
        sa.Column("alias", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=True),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("by", sa.String(length=512), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id", "number"],
            ["versions.model_id", "versions.number"],
            name="fk_alias_events_model_id_number",
        ),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_alias_events_model_id"),
        sa.PrimaryKeyConstraint("id", name="pk_alias_events"),
    )
    op.create_index("ix_alias_events_model_id_alias", "alias_events", ["model_id", "alias"])
    op.create_table(
        "evaluation_metrics",
        sa.Column("evaluation_id", _ROW_NUMBER, nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["evaluation_id"], ["evaluations.id"], name="fk_evaluation_metrics_evaluation_id"
        ),
        sa.PrimaryKeyConstraint("evaluation_id", "name", name="pk_evaluation_metrics"),
    )
    op.create_table(
        "pair_metrics",
        sa.Column("pair_evaluation_id", _ROW_NUMBER, nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["pair_evaluation_id"],
            ["pair_evaluations.id"],
            name="fk_pair_metrics_pair_evaluation_id",
        ),
        sa.PrimaryKeyConstraint("pair_evaluation_id", "name", name="pk_pair_metrics"),
    )
    op.create_table(
        "version_artifacts",
        sa.Column("version_id", _ROW_NUMBER, nullable=False),
        sa.Column("artifact_id", sa.String(length=64), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["artifact_id"], ["artifacts.id"], name="fk_version_artifacts_artifact_id"
        ),
        sa.ForeignKeyConstraint(
            ["version_id"], ["versions.id"], name="fk_version_artifacts_version_id"
        ),
        sa.PrimaryKeyConstraint("version_id", "artifact_id", name="pk_version_artifacts"),
    )
    op.create_index("ix_version_artifacts_artifact_id", "version_artifacts", ["artifact_id"])


def downgrade() -> None:
    for table in (
        "version_artifacts",
        "pair_metrics",
        "evaluation_metrics",
        "alias_events",
        "versions",
        "profiles",
        "pair_evaluations",
        "node_providers",
        "node_artifacts",
        "evaluations",
        "artifact_providers",
        "artifact_files",
        "nodes",
        "models",
        "datasets",
        "artifacts",
    ):
        op.drop_table(table)
