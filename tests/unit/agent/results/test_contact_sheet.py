"""Contact sheets show every hit, in order, whatever the pictures and captions are."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from rsq.errors import BadInput
from rsq_agent.results.contact_sheet import SheetHit, render_contact_sheet

COLOURS = [(200, 30, 30), (30, 160, 60), (40, 60, 200), (220, 180, 20), (150, 40, 160)]


def hits(count: int, size: tuple[int, int] = (300, 200)) -> list[SheetHit]:
    return [
        SheetHit(Image.new("RGB", size, COLOURS[n % 5]), 0.5 - n / 100, f"image_{n}.jpg")
        for n in range(count)
    ]


def area_of(sheet: Image.Image, colour: tuple[int, int, int]) -> int:
    return int((np.asarray(sheet) == colour).all(axis=2).sum())


def centre_of(sheet: Image.Image, colour: tuple[int, int, int]) -> tuple[float, float]:
    rows, columns = np.nonzero((np.asarray(sheet) == colour).all(axis=2))
    return float(rows.mean()), float(columns.mean())


def test_every_thumbnail_is_there_in_reading_order() -> None:
    sheet = render_contact_sheet("port", hits(5), columns=3, tile=100)
    centres = [centre_of(sheet, colour) for colour in COLOURS]
    assert centres == sorted(centres, key=lambda centre: (round(centre[0] / 50), centre[1]))
    assert len({round(row / 50) for row, _ in centres}) == 2
    for colour in COLOURS:  # the rest is under the number
        assert 0.85 * 100 * 100 < area_of(sheet, colour) < 100 * 100


@pytest.mark.parametrize("size", [(1, 1), (3000, 7), (7, 3000)])
def test_pictures_of_any_shape_fill_their_tile(size: tuple[int, int]) -> None:
    sheet = render_contact_sheet("port", hits(1, size), tile=100)
    assert area_of(sheet, COLOURS[0]) > 0.85 * 100 * 100


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "CMYK", "I;16", "F"])
def test_pictures_of_any_mode_are_shown(mode: str) -> None:
    sheet = render_contact_sheet("port", [SheetHit(Image.new(mode, (9, 9)), 1.0, "a")], tile=100)
    unreadable = render_contact_sheet("port", [SheetHit(None, 1.0, "a")], tile=100)
    assert sheet.tobytes() != unreadable.tobytes()


def test_a_picture_that_turns_out_broken_gets_the_placeholder() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "PNG")
    broken = Image.open(io.BytesIO(file.getvalue()[:2000]))
    torn = render_contact_sheet("port", [SheetHit(broken, 1.0, "a")], tile=100)
    absent = render_contact_sheet("port", [SheetHit(None, 1.0, "a")], tile=100)
    assert torn.tobytes() == absent.tobytes()


def test_title_score_and_caption_are_drawn() -> None:
    (hit,) = hits(1)
    plain = render_contact_sheet("port", [hit], tile=100)
    for title, other in (
        ("airport", hit),
        ("port", replace(hit, score=0.1)),
        ("port", replace(hit, caption="other.jpg")),
    ):
        sheet = render_contact_sheet(title, [other], tile=100)
        assert sheet.size == plain.size
        assert sheet.tobytes() != plain.tobytes()


def test_hits_are_numbered() -> None:
    (hit,) = hits(1)
    sheet = np.asarray(render_contact_sheet("port", [hit, hit], columns=2, tile=100))
    columns = np.nonzero((sheet == COLOURS[0]).all(axis=2).any(axis=0))[0]
    first, second = columns.min(), columns.max() - 99
    assert second >= first + 100
    assert (sheet[:, first : first + 100] != sheet[:, second : second + 100]).any()


def margin_is_empty(sheet: Image.Image, margin: int) -> bool:
    pixels = np.asarray(sheet)
    return bool((pixels[:, -margin:] == pixels[0, 0]).all())


def test_long_texts_stay_inside_the_sheet() -> None:
    long = [SheetHit(hit.image, hit.score, "scene_" * 500 + ".tif") for hit in hits(3)]
    sheet = render_contact_sheet("harbour " * 10_000, long, columns=3, tile=100)
    assert margin_is_empty(sheet, 12)
    assert sheet.size == render_contact_sheet("port", hits(3), columns=3, tile=100).size


def test_captions_that_differ_only_at_their_end_look_different() -> None:
    sheets = {
        render_contact_sheet(
            "port", [SheetHit(None, 1.0, "S2_scene_2024_" * 6 + f"{n}.tif")], tile=100
        ).tobytes()
        for n in range(3)
    }
    assert len(sheets) == 3


def test_no_hits_make_a_sheet_that_says_so() -> None:
    assert render_contact_sheet("port", []).getbbox() is not None


@pytest.mark.parametrize(
    ("count", "options"),
    [(1, {"columns": 0}), (1, {"tile": 63}), (1, {"tile": 1025}), (201, {})],
)
def test_sheets_out_of_bounds_are_refused(count: int, options: dict[str, int]) -> None:
    with pytest.raises(BadInput):
        render_contact_sheet("port", hits(count, (4, 4)), **options)
