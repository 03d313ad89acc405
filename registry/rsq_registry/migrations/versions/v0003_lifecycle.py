"""Versions may be deprecated and deleted; leases keep blobs that somebody is about to need."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("versions", sa.Column("deprecated", sa.String(length=512), nullable=True))
    op.add_column("versions", sa.Column("deleted_at", sa.DateTime(), nullable=True))
    op.create_table(
        "leases",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("expires_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_leases")),
    )


def downgrade() -> None:
    op.drop_table("leases")
    op.drop_column("versions", "deleted_at")
    op.drop_column("versions", "deprecated")
