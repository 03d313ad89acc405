"""Which footprints share a map: a tile of some hundred metres is a dot on a map of a continent, so
hits that lie far apart get maps of their own."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rsq_agent.results.outline import Ring

_WIDEST_IN_FOOTPRINTS = 40.0
_STEEPEST_LATITUDE = 80.0  # its cosine is the least by which longitudes are narrowed
_TURN = 360.0


@dataclass(frozen=True)
class Extent:
    """Degrees; east may be beyond 180."""

    west: float
    south: float
    east: float
    north: float

    @property
    def middle(self) -> tuple[float, float]:
        return (self.west + self.east) / 2, (self.south + self.north) / 2

    @property
    def narrowing(self) -> float:
        """Length of a degree of longitude over one of latitude, in the middle."""
        latitude = min(abs(self.middle[1]), _STEEPEST_LATITUDE)
        return math.cos(math.radians(latitude))

    @property
    def span(self) -> float:
        """The longer side, in degrees of latitude."""
        return max((self.east - self.west) * self.narrowing, self.north - self.south)

    def join(self, other: Extent) -> Extent:
        return Extent(
            min(self.west, other.west),
            min(self.south, other.south),
            max(self.east, other.east),
            max(self.north, other.north),
        )


@dataclass(frozen=True)
class Region:
    """Outlines by the rank of their hit, best first."""

    extent: Extent
    outlines: dict[int, Ring]


def extent_of(ring: Ring) -> Extent:
    xs, ys = [x for x, _ in ring], [y for _, y in ring]
    return Extent(min(xs), min(ys), max(xs), max(ys))


def find_regions(outlines: Mapping[int, Ring]) -> list[Region]:
    """Groups outlines by place, the region of the best hit first. Longitudes are turned so that
    neighbours across the antimeridian lie beside each other."""
    rings = _turn_together(outlines)
    if not rings:
        return []
    extents = {rank: extent_of(ring) for rank, ring in rings.items()}
    widest = _WIDEST_IN_FOOTPRINTS * statistics.median(e.span for e in extents.values())
    regions: list[Region] = []
    for rank in sorted(rings):
        for place, region in enumerate(regions):
            joined = region.extent.join(extents[rank])
            if joined.span <= widest:
                regions[place] = Region(joined, {**region.outlines, rank: rings[rank]})
                break
        else:
            regions.append(Region(extents[rank], {rank: rings[rank]}))
    return regions


def join_extents(regions: Sequence[Region]) -> Extent:
    joined = regions[0].extent
    for region in regions[1:]:
        joined = joined.join(region.extent)
    return joined


def _turn_together(outlines: Mapping[int, Ring]) -> dict[int, Ring]:
    """Cuts the globe at the widest gap between the outlines' middles."""
    if not outlines:
        return {}
    middles = {rank: extent_of(ring).middle[0] for rank, ring in outlines.items()}
    around = sorted(middle % _TURN for middle in middles.values())
    gaps = [(around[i] - around[i - 1]) % _TURN or _TURN for i in range(len(around))]
    start = around[max(range(len(gaps)), key=gaps.__getitem__)]
    if start > _TURN / 2:
        start -= _TURN
    turned = {}
    for rank, ring in outlines.items():
        # Rounding must not send the first one around the earth.
        turns = math.floor((middles[rank] - start + 1e-9) / _TURN)
        turned[rank] = tuple((x - turns * _TURN, y) for x, y in ring)
    return turned
