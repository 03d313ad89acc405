"""A version may name the blob of its report data."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("versions", sa.Column("details_digest", sa.String(length=64), nullable=True))


def downgrade() -> None:
    op.drop_column("versions", "details_digest")
