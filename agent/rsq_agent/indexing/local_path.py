"""From a link in a document to a path on this machine."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from rsq_agent.indexing.archive import image_uri

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")  # two letters at least: C: is a drive


def resolve_href(href: str, folder: Path) -> Path | None:
    """The absolute path of a path, relative to `folder`, or of a file:// address; None for what is
    elsewhere or empty."""
    if href.startswith("file:"):
        parts = urlsplit(href)
        if parts.netloc not in ("", "localhost") or not parts.path:
            return None
        href = unquote(parts.path)
    elif not href or _SCHEME.match(href) or href.startswith("//") or "\0" in href:
        return None
    return Path(image_uri(folder / href))
