"""When a scene was taken, as far as its file tells."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import PurePath

_YEARS = range(1940, 2100)  # of aerial and satellite images; other digits are no date
# 20200831, 2020-08-31 or 2020_08_31, perhaps followed by a time of six digits as in
# S2A_MSIL2A_20200831T104031.
_NAME_DATE = re.compile(
    r"(?<!\d)(\d{4})([-_]?)(\d{2})\2(\d{2})(?:[T_-]?(\d{2})(\d{2})(\d{2}))?(?!\d)", re.ASCII
)


def time_from_name(path: str) -> str | None:
    """RFC 3339 of the first date in the file's name, as UTC; None where there is none."""
    for match in _NAME_DATE.finditer(PurePath(path).name):
        year, _, month, day, *clock = match.groups()
        if int(year) in _YEARS:
            found = _format(f"{year}{month}{day}{''.join(part or '00' for part in clock)}")
            if found is not None:
                return found
    return None


def time_from_tag(text: str) -> str | None:
    """RFC 3339 of TIFF's "YYYY:MM:DD HH:MM:SS", taken as UTC; None for anything else."""
    digits = re.sub(r"[: ]", "", text.strip())
    return _format(digits) if re.fullmatch(r"\d{14}", digits, re.ASCII) else None


def parse_time(text: str) -> str | None:
    """RFC 3339 of an ISO 8601 date or time, without an offset taken as UTC; None for anything
    else."""
    try:
        time = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return _write(time if time.tzinfo else time.replace(tzinfo=UTC))


def _format(digits: str) -> str | None:
    try:
        return _write(datetime.strptime(digits, "%Y%m%d%H%M%S").replace(tzinfo=UTC))
    except ValueError:
        return None


def _write(time: datetime) -> str:
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")
