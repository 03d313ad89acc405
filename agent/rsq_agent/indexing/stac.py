"""STAC items and catalogues on disk, as plain JSON (STAC 1.0 and 1.1).

Links and assets are followed below the file system only: what is on the network is reported, not
fetched. A document is read once, so links can't make a loop.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from rsq.errors import BadSource
from rsq.retrieval import BoundingBox, Position
from rsq_agent.collections.index_points import MAX_CORNERS
from rsq_agent.indexing.archive import IMAGE_SUFFIXES, image_uri
from rsq_agent.indexing.image_entry import ImageEntry, Skipped
from rsq_agent.indexing.local_path import resolve_href
from rsq_agent.indexing.scene_time import parse_time

MAX_DOCUMENT_BYTES = 64 << 20
MAX_DOCUMENTS = 1_000_000
_FOLLOWED = frozenset({"child", "item", "items"})
# Small pictures of an item, or no pictures of the ground.
_OTHER_ROLES = frozenset({"thumbnail", "overview", "metadata", "data-mask", "cloud", "snow-ice"})


def read_stac(path: Path) -> Iterator[ImageEntry | Skipped]:
    """The images of an item, an item collection, a collection or a catalogue, and of all that these
    link to. Raises BadSource where `path` itself is no STAC document."""
    waiting = deque([Path(image_uri(path))])
    seen = {os.path.realpath(path)}
    is_first = True
    while waiting:
        document_path = waiting.popleft()
        try:
            document = _load(document_path)
        except BadSource as e:
            if is_first:
                raise
            yield Skipped(str(document_path), e.code, e.message)
            continue
        is_first = False
        kind = document.get("type")
        if kind == "Feature":
            yield from _images(document, document_path)
        elif kind == "FeatureCollection":
            for item in _dicts(document.get("features")):
                yield from _images(item, document_path)
        for link in _dicts(document.get("links")):
            if str(link.get("rel")) not in _FOLLOWED or kind == "Feature":
                continue
            target = resolve_href(str(link.get("href", "")), document_path.parent)
            if target is None:
                yield _remote(link.get("href"), document_path)
            elif (real := os.path.realpath(target)) not in seen:
                if len(seen) >= MAX_DOCUMENTS:
                    raise BadSource(f"{path} links to more than {MAX_DOCUMENTS} documents.")
                seen.add(real)
                waiting.append(target)


def _load(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_DOCUMENT_BYTES:
            raise BadSource(f"{path} has more than {MAX_DOCUMENT_BYTES} bytes.")
        document = json.loads(path.read_bytes())
    except OSError as e:
        raise BadSource(f"{path} can't be read: {e.strerror}.") from e
    except (ValueError, RecursionError) as e:
        raise BadSource(f"{path} is not JSON.") from e
    kinds = ("Feature", "FeatureCollection", "Collection", "Catalog")
    if not isinstance(document, dict) or document.get("type") not in kinds:
        raise BadSource(f"{path} is no STAC item, collection or catalogue.")
    return document


def _images(item: Mapping[str, Any], path: Path) -> Iterator[ImageEntry | Skipped]:
    properties = item.get("properties")
    if not isinstance(properties, dict):
        properties = {}
    time = next(
        (
            found
            for key in ("datetime", "start_datetime")
            if isinstance(properties.get(key), str) and (found := parse_time(properties[key]))
        ),
        None,
    )
    keywords = properties.get("keywords")
    words = keywords if isinstance(keywords, list) else []
    tags = tuple(word for word in words if isinstance(word, str))
    assets = item.get("assets")
    chosen = _choose_assets(assets if isinstance(assets, dict) else {})
    if not chosen:
        yield Skipped(str(path), "BAD_SOURCE", f"The item {item.get('id')} has no image assets.")
    for href in chosen:
        image = resolve_href(href, path.parent)
        if image is None:
            yield _remote(href, path)
            continue
        yield ImageEntry(
            uri=image_uri(image),
            datetime=time,
            bbox=read_bbox(item.get("bbox")),
            footprint=_ring(item.get("geometry")),
            tags=tags,
        )


def _choose_assets(assets: Mapping[str, Any]) -> list[str]:
    """The hrefs of the assets that show the item: the one for viewing if there is one, else all
    images but thumbnails and masks."""
    images = {
        key: asset
        for key, asset in assets.items()
        if isinstance(asset, dict) and isinstance(asset.get("href"), str) and _is_image(asset)
    }
    for key, asset in images.items():
        if key == "visual" or "visual" in _roles(asset):
            return [asset["href"]]
    return [
        asset["href"]
        for key, asset in images.items()
        if key != "thumbnail" and not _OTHER_ROLES & _roles(asset)
    ]


def _roles(asset: Mapping[str, Any]) -> set[str]:
    roles = asset.get("roles")
    return {role for role in roles if isinstance(role, str)} if isinstance(roles, list) else set()


def _is_image(asset: Mapping[str, Any]) -> bool:
    kind = asset.get("type")
    if isinstance(kind, str):
        return kind.startswith("image/") and kind != "image/jp2"
    return PurePosixPath(asset["href"]).suffix.lower() in IMAGE_SUFFIXES


def read_bbox(value: Any) -> BoundingBox | None:
    """A box of four numbers, or of six with heights, as in RFC 7946; None for anything else."""
    if not isinstance(value, list | tuple) or len(value) not in (4, 6):
        return None
    if not all(isinstance(number, int | float) for number in value):
        return None
    west, south, east, north = value if len(value) == 4 else (*value[:2], *value[3:5])
    if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south <= north <= 90):
        return None
    return BoundingBox(float(west), float(south), float(east), float(north))


def _ring(geometry: Any) -> tuple[Position, ...]:
    """The outer ring of a polygon of one part, open; empty for anything else."""
    try:
        if geometry["type"] != "Polygon":
            return ()
        ring = [(float(corner[0]), float(corner[1])) for corner in geometry["coordinates"][0]]
    except (TypeError, KeyError, IndexError, ValueError):
        return ()
    if len(ring) > 1 and ring[0] == ring[-1]:
        ring.pop()
    on_earth = all(-180 <= x <= 180 and -90 <= y <= 90 for x, y in ring)
    return tuple(ring) if on_earth and 3 <= len(ring) <= MAX_CORNERS else ()


def _remote(href: Any, path: Path) -> Skipped:
    return Skipped(
        str(path), "REMOTE", f"{str(href)[:200]!r} is not on this machine; fetch it first."
    )


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [part for part in value if isinstance(part, dict)] if isinstance(value, list) else []
