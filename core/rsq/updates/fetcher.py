"""Metadata for python-tuf's client over rsq's own sources: gRPC, a bundle, or a folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tuf.api.exceptions import DownloadHTTPError, SlowRetrievalError
from tuf.ngclient import FetcherInterface

from rsq.errors import DeadlineExceeded, FastForwarded, NotFound
from rsq.updates.metadata_files import MetadataSource
from rsq.updates.names import MetadataName, parse_name

BASE = "metadata/"  # what the updater puts before each name
FILE_SECONDS = 60.0  # for a whole file
# A timestamp renewed every minute for two years. Whoever steals its key can't go further than that
# at once, and rotating the key undoes it.
MAX_STEP = 1 << 20
SIGNED_AT = "x-rsq-signed-at"  # in the timestamp: RFC 3339, UTC


@dataclass(frozen=True)
class Fetched:
    """A file as it came, not verified."""

    name: MetadataName
    data: bytes

    @property
    def version(self) -> int:
        """What it calls its version; 0 where it says none."""
        found = _signed(self.data).get("version")
        return found if isinstance(found, int) else 0

    @property
    def signed_at(self) -> datetime | None:
        return parse_time(_signed(self.data).get(SIGNED_AT))


class SourceFetcher(FetcherInterface):
    """Fetches each file once, remembers the last one, and refuses a version far beyond those that
    were seen (`seen_versions`, by role)."""

    def __init__(
        self,
        source: MetadataSource,
        *,
        seen_versions: dict[str, int] | None = None,
        seconds: float = FILE_SECONDS,
    ) -> None:
        self.target = source.target
        self.seconds = seconds
        self.asked: MetadataName | None = None
        self.last: Fetched | None = None
        self.signed_at: datetime | None = None  # as the last timestamp says, not verified
        self._source = source
        self._seen = dict(seen_versions or {})

    def _fetch(self, url: str) -> Iterator[bytes]:
        name = parse_name(url.removeprefix(BASE))
        self.asked = name
        parts = []
        try:
            for part in self._source.metadata(name):
                parts.append(part)
                yield part
        except NotFound as e:
            raise DownloadHTTPError(e.message, 404) from e
        except DeadlineExceeded as e:
            raise SlowRetrievalError(e.message) from e
        self.last = Fetched(name, b"".join(parts))
        if name.role == "timestamp":
            self.signed_at = self.last.signed_at
        self._check_step(self.last)

    def _check_step(self, fetched: Fetched) -> None:
        known = self._seen.get(fetched.name.role, 0)
        if fetched.version > known + MAX_STEP:
            raise FastForwarded(
                f"{self.target} sends {fetched.name} with version {fetched.version}, far beyond "
                f"{known}, the last one seen: after it no honest update would be newer. Nothing "
                "was changed. Rotate that key with: rsq-server trust rotate"
            )


def parse_time(text: object) -> datetime | None:
    """The moment in an RFC 3339 text in UTC; None for anything else."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.astimezone(UTC) if moment.tzinfo is not None else None


def _signed(data: bytes) -> dict[str, Any]:
    try:
        signed = json.loads(data)["signed"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return signed if isinstance(signed, dict) else {}
