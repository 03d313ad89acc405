"""What `rsq-agent search` looks for and how it chooses: its options, and what they mean."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rsq.errors import BadInput

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rsq.retrieval import BoundingBox, Position, SearchFilter

Image = Annotated[
    list[Path] | None, typer.Option("--image", help="Look for images like this file.")
]
Like = Annotated[
    list[str] | None,
    typer.Option("--like", help="Look for images like this stored one.", metavar="URI"),
]
Vector = Annotated[
    Path | None,
    typer.Option("--vector", help="Look for what is near this .npy vector.", metavar="FILE"),
]
Space = Annotated[
    str, typer.Option("--space", help="Space id of --vector: index stats shows it.", metavar="ID")
]
Not = Annotated[
    list[str] | None, typer.Option("--not", help="Lead away from this text.", metavar="TEXT")
]
Bbox = Annotated[
    str | None,
    typer.Option(
        "--bbox",
        help="Within or touching it, in degrees; west beyond east crosses the antimeridian.",
        metavar="W,S,E,N",
    ),
]
PolygonFile = Annotated[
    Path | None,
    typer.Option(
        "--polygon", help="Within or touching the polygon of a GeoJSON file.", metavar="FILE"
    ),
]
Tag = Annotated[
    list[str] | None,
    typer.Option("--tag", help="With this tag and every other one."),
]
AnyTag = Annotated[
    list[str] | None,
    typer.Option("--any-tag", help="With at least one of these."),
]
Under = Annotated[
    str,
    typer.Option("--under", help="Whose path starts so.", metavar="PATH"),
]
Since = Annotated[
    str | None,
    typer.Option("--since", help="From this day or time on (UTC)."),
]
Until = Annotated[
    str | None,
    typer.Option("--until", help="Before this day or time (UTC)."),
]
Threshold = Annotated[
    float | None,
    typer.Option("--threshold", help="Least cosine of a hit.", min=-1, max=1),
]
Offset = Annotated[
    int,
    typer.Option("--offset", help="Leave out so many best ones.", min=0, max=10_000),
]
PerScene = Annotated[
    int,
    typer.Option("--per-scene", help="At most so many hits of one scene.", min=0),
]
Diverse = Annotated[
    float | None,
    typer.Option(
        "--diverse",
        help="Hits unlike each other: 1 looks at the query alone, 0 at the unlikeness; try 0.5.",
        metavar="LAMBDA",
        min=0,
        max=1,
    ),
]
Collapse = Annotated[
    float | None,
    typer.Option(
        "--collapse",
        help="Of hits at least so close to each other, show the best; try 0.95.",
        metavar="COSINE",
        max=1,
    ),
]
Exact = Annotated[bool, typer.Option("--exact", help="Compare every vector.")]

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_POLYGON_BYTES = 16 << 20


def build_filter(
    *,
    bbox: str | None,
    polygon: Path | None,
    since: str | None,
    until: str | None,
    tags: Sequence[str] | None,
    any_tags: Sequence[str] | None,
    under: str,
) -> SearchFilter:
    """Raises BadInput for what can't be read."""
    from rsq.retrieval import SearchFilter

    return SearchFilter(
        bbox=parse_bbox(bbox) if bbox is not None else None,
        polygon=read_polygon(polygon) if polygon is not None else (),
        since=parse_time(since) if since is not None else None,
        until=parse_time(until) if until is not None else None,
        all_tags=tuple(tags or ()),
        any_tags=tuple(any_tags or ()),
        uri_prefix=under,
    )


def parse_bbox(text: str) -> BoundingBox:
    """West, south, east, north, as in "-71.2,42.2,-70.9,42.5". Raises BadInput."""
    from rsq.retrieval import BoundingBox

    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError as e:
        raise BadInput(
            f"--bbox takes four numbers W,S,E,N in degrees, such as -71.2,42.2,-70.9,42.5; not "
            f"{text!r}."
        ) from e
    return BoundingBox(west, south, east, north)


def parse_time(text: str) -> str:
    """RFC 3339; a day alone is its first second in UTC. The agent checks the rest."""
    return f"{text}T00:00:00Z" if _DAY.fullmatch(text) else text


def read_polygon(path: Path) -> tuple[Position, ...]:
    """The outer ring of the one polygon in a GeoJSON file: a geometry, a feature or a collection of
    one feature. Raises BadInput, also for holes and several polygons."""
    try:
        with path.open("rb") as file:
            data = file.read(_POLYGON_BYTES + 1)
    except OSError as e:
        raise BadInput(f"{path} can't be read: {e.strerror}.") from e
    if len(data) > _POLYGON_BYTES:
        raise BadInput(f"{path} is over {_POLYGON_BYTES >> 20} MiB; --polygon takes one ring.")
    try:
        rings = _find_rings(json.loads(data))
        (ring,) = rings
        corners = tuple((float(corner[0]), float(corner[1])) for corner in ring)
    except (ValueError, TypeError, KeyError, IndexError, RecursionError) as e:
        raise BadInput(f"{path} holds no GeoJSON with one polygon without holes.") from e
    return corners[:-1] if corners and corners[0] == corners[-1] else corners


def read_vector(path: Path) -> NDArray[np.float32]:
    """float32 [dim] from a .npy file of one row. Raises BadInput."""
    import numpy as np

    try:
        vector: NDArray[np.float32] = np.load(path, allow_pickle=False).astype(np.float32)
    except (OSError, ValueError, EOFError) as e:
        raise BadInput(f"{path} holds no vector as numpy.save writes it.") from e
    return vector.reshape(-1) if vector.ndim == 2 and len(vector) == 1 else vector


def _find_rings(node: dict[str, Any]) -> list[Any]:
    match node["type"]:
        case "FeatureCollection":
            (feature,) = node["features"]
            return _find_rings(feature)
        case "Feature":
            return _find_rings(node["geometry"])
        case "MultiPolygon":
            (rings,) = node["coordinates"]
            return list(rings)
        case "Polygon":
            return list(node["coordinates"])
        case kind:
            raise ValueError(f"{kind} is not an area")
