"""Column types and naming shared by the tables, the same on SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from sqlalchemy import BigInteger, DateTime, Dialect, Integer, MetaData, String
from sqlalchemy.orm import DeclarativeBase, mapped_column
from sqlalchemy.types import TypeDecorator

from rsq.manifest import Tower
from rsq.reference import MAX_ALIAS_CHARACTERS, MAX_NAME_CHARACTERS

MAX_TEXT_CHARACTERS = 512  # free text: a licence, a device, a host, a source description
MAX_WORD_CHARACTERS = 128  # a variant, a role, a provider, a metric, a file name, a node id
DIGEST_CHARACTERS = 64
TOWER_CHARACTERS = 16
TOKEN_ID_CHARACTERS = 12

# SQLite numbers rows itself only where the key's type is exactly INTEGER.
RowNumber = BigInteger().with_variant(Integer, "sqlite")


class UtcDateTime(TypeDecorator[datetime]):
    """An aware time in UTC. SQLite forgets the zone, so it is taken off and put back here."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


Key = Annotated[int, mapped_column(RowNumber, primary_key=True)]
Link = Annotated[int, mapped_column(RowNumber)]  # to a Key
Digest = Annotated[str, mapped_column(String(DIGEST_CHARACTERS))]
TokenId = Annotated[str, mapped_column(String(TOKEN_ID_CHARACTERS))]
ModelName = Annotated[str, mapped_column(String(MAX_NAME_CHARACTERS))]
AliasName = Annotated[str, mapped_column(String(MAX_ALIAS_CHARACTERS))]
TowerName = Annotated[Tower, mapped_column(String(TOWER_CHARACTERS))]
Word = Annotated[str, mapped_column(String(MAX_WORD_CHARACTERS))]
Text = Annotated[str, mapped_column(String(MAX_TEXT_CHARACTERS))]
Size = Annotated[int, mapped_column(BigInteger)]  # bytes
Moment = Annotated[datetime, mapped_column(UtcDateTime)]


class Base(DeclarativeBase):
    """Every constraint gets a name made from its columns, so that a migration can drop it on any
    database."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def utc_now() -> datetime:
    return datetime.now(UTC)


def format_time(value: datetime) -> str:
    """RFC 3339 in UTC with microseconds, such as 2026-03-01T12:00:00.000000Z."""
    return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
