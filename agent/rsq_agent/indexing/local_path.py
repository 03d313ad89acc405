"""From a link in a document to a path on this machine."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from rsq_agent.indexing.archive import image_uri

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")  # two letters at least: C: is a drive


def resolve_href(href: str, folder: Path) -> Path | None:
    """The absolute path of a path, relative to `folder`, or of a file:// address; None for what is
    elsewhere, empty, or no name that a file can have."""
    if href.startswith("file:"):
        parts = urlsplit(href)
        if parts.netloc not in ("", "localhost") or not parts.path:
            return None
        href = unquote(parts.path)
    elif not href or _SCHEME.match(href) or href.startswith("//"):
        return None
    if not _can_be_a_path(href):
        return None
    return Path(image_uri(folder / href))


def _can_be_a_path(text: str) -> bool:
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:  # half a surrogate pair
        return False
