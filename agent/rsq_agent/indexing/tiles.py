"""How a raster is cut into tiles.

All tiles have one size, so that they show the ground at one scale. The last tile of a row or a
column is moved inwards until it fits, and so overlaps its neighbour by more than was asked for; a
raster smaller than a tile gives one tile of its own size. No pixel is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

from rsq.errors import BadInput
from rsq.retrieval import Window

DEFAULT_TILE_PIXELS = 256
MAX_TILE_PIXELS = 4096


@dataclass(frozen=True)
class Tiling:
    """Edge of the square tiles and what neighbours share, in pixels. Raises BadInput for a tile
    outside 16 to MAX_TILE_PIXELS and for an overlap of more than half a tile."""

    tile: int = DEFAULT_TILE_PIXELS
    overlap: int = 0

    def __post_init__(self) -> None:
        if not 16 <= self.tile <= MAX_TILE_PIXELS:
            raise BadInput(f"A tile is 16 to {MAX_TILE_PIXELS} pixels wide, not {self.tile}.")
        if not 0 <= self.overlap <= self.tile // 2:
            raise BadInput(
                f"Tiles of {self.tile} pixels overlap by 0 to {self.tile // 2}, not {self.overlap}."
            )

    @property
    def step(self) -> int:
        return self.tile - self.overlap


def cut_rows(width: int, height: int, tiling: Tiling) -> list[list[Window]]:
    """The tiles of a raster of that size, from the top, each row from the left."""
    across = min(tiling.tile, width)
    down = min(tiling.tile, height)
    columns = _starts(width, tiling)
    return [[Window(x, y, across, down) for x in columns] for y in _starts(height, tiling)]


def _starts(length: int, tiling: Tiling) -> list[int]:
    last = max(length - tiling.tile, 0)
    return [*range(0, last, tiling.step), last]
