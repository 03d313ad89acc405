"""A picture of search results: the query as title and numbered thumbnails with score and name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont, ImageOps

from rsq.errors import BadInput

MAX_HITS = 200
MAX_TILE = 1024

_BACKGROUND = (250, 250, 248)
_PANEL = (232, 232, 228)
_INK = (28, 30, 34)
_MUTED = (110, 114, 120)
_BADGE = (28, 30, 34)
_BADGE_INK = (255, 255, 255)
_SMOOTHING = 4

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class SheetHit:
    """One hit. `image` is None where the file can't be read; `caption` is its file name."""

    image: Image.Image | None
    score: float
    caption: str


def render_contact_sheet(
    title: str, hits: Sequence[SheetHit], *, columns: int = 5, tile: int = 224
) -> Image.Image:
    """An RGB picture of `hits` in reading order, `columns` a row, thumbnails of `tile` pixels.

    Thumbnails are cropped to a square around their centre. Raises BadInput for more than MAX_HITS
    hits, no columns, or a tile outside 64 to MAX_TILE pixels.
    """
    if not 1 <= columns <= MAX_HITS or not 64 <= tile <= MAX_TILE or len(hits) > MAX_HITS:
        raise BadInput(
            f"A contact sheet has 1 to {MAX_HITS} columns, tiles of 64 to {MAX_TILE} pixels and at "
            f"most {MAX_HITS} hits."
        )
    margin, gap = tile // 7, tile // 14
    title_font, text_font = _font(max(14, tile // 8)), _font(max(10, tile // 16))
    # Title, thumbnail and caption heights follow from the type sizes.
    line = _line_height(text_font)
    head = _line_height(title_font) + line + gap
    cell_width, cell_height = tile, tile + gap // 2 + 2 * line
    columns_used = max(1, min(columns, len(hits)))
    # A few hits must not squeeze the title.
    columns_wide = max(columns_used, min(columns, 3))
    rows = -(-len(hits) // columns)
    width = 2 * margin + columns_wide * cell_width + (columns_wide - 1) * gap
    height = 2 * margin + head + rows * (gap + cell_height)
    sheet = Image.new("RGB", (width, height), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    text_width = width - 2 * margin
    draw.text((margin, margin), _fit(draw, title, title_font, text_width), _INK, title_font)
    found = f"{len(hits)} {'hit' if len(hits) == 1 else 'hits'}" if hits else "no hits"
    below_title = margin + _line_height(title_font) + gap // 4
    draw.text((margin, below_title), found, _MUTED, text_font)
    for index, hit in enumerate(hits):
        row, column = divmod(index, columns)
        left = margin + column * (cell_width + gap)
        top = margin + head + gap + row * (cell_height + gap)
        _paste_thumbnail(sheet, draw, hit.image, (left, top), tile, text_font)
        _draw_badge(sheet, draw, str(index + 1), (left, top), tile, text_font)
        below = top + tile + gap // 2
        draw.text((left, below), f"{hit.score:.3f}", _INK, text_font)
        caption = _fit(draw, hit.caption, text_font, tile, keep_end=True)
        draw.text((left, below + line), caption, _MUTED, text_font)
    return sheet


def _paste_thumbnail(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    image: Image.Image | None,
    corner: tuple[int, int],
    tile: int,
    font: _Font,
) -> None:
    left, top = corner
    thumbnail = None if image is None else _thumbnail(image, tile)
    if thumbnail is not None:
        sheet.paste(thumbnail, corner)
        return
    draw.rectangle((left, top, left + tile - 1, top + tile - 1), fill=_PANEL)
    centre = (left + tile / 2, top + tile / 2)
    draw.text(centre, "not readable", _MUTED, font, anchor="mm")


def _thumbnail(image: Image.Image, tile: int) -> Image.Image | None:
    try:
        return ImageOps.fit(image.convert("RGB"), (tile, tile), Image.Resampling.LANCZOS)
    except (OSError, ValueError, SyntaxError):  # what Pillow raises when pixels turn out broken
        return None


def _draw_badge(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    number: str,
    corner: tuple[int, int],
    tile: int,
    font: _Font,
) -> None:
    left, top = corner
    inset, pad = tile // 32, tile // 40
    text_left, text_top, text_right, text_bottom = draw.textbbox((0, 0), number, font=font)
    height = round(text_bottom - text_top + 2 * pad)
    width = max(height, round(text_right - text_left + 2 * pad))
    # Pillow draws hard edges: the shape is drawn larger and scaled down to smooth its corners.
    mask = Image.new("L", (width * _SMOOTHING, height * _SMOOTHING))
    corners = (0, 0, mask.width - 1, mask.height - 1)
    ImageDraw.Draw(mask).rounded_rectangle(corners, radius=mask.height // 3, fill=255)
    box = (left + inset, top + inset)
    sheet.paste(_BADGE, box, mask.resize((width, height), Image.Resampling.BOX))
    centre = (box[0] + width / 2, box[1] + height / 2)
    draw.text(centre, number, _BADGE_INK, font, anchor="mm")


def _fit(
    draw: ImageDraw.ImageDraw, text: str, font: _Font, width: int, *, keep_end: bool = False
) -> str:
    """`text` on one line, shortened with an ellipsis to `width` pixels; of a name the middle goes,
    since its end tells files of one series apart."""
    # Longer than any line that fits, so that a huge text costs nothing.
    line = " ".join(text.split())
    if len(line) <= width and draw.textlength(line, font=font) <= width:
        return line
    low, high = 0, min(len(line), width)
    while low < high:  # the largest count of kept characters that fits
        middle = (low + high + 1) // 2
        if draw.textlength(_shorten(line, middle, keep_end), font=font) <= width:
            low = middle
        else:
            high = middle - 1
    return _shorten(line, low, keep_end)


def _shorten(line: str, kept: int, keep_end: bool) -> str:
    end = kept * 2 // 3 if keep_end else 0
    return f"{line[: kept - end].rstrip()}\u2026{line[len(line) - end :]}"


def _font(size: int) -> _Font:
    return ImageFont.load_default(size)


def _line_height(font: _Font) -> int:
    box = font.getbbox("Agjpqy|")
    return round(box[3] * 1.25)
