"""Shapes on a turned and scaled view."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rsq_server.demo.canvas import Canvas, View, darken, make_box, vary

WHITE = (255, 255, 255)


def _open(view: View) -> Canvas:
    return Canvas(np.full((view.pixels, view.pixels, 3), 100.0, dtype=np.float32), view, (1.0, 0.0))


@pytest.mark.parametrize("angle", [0.0, 0.7, 3.0])
@pytest.mark.parametrize("zoom", [0.8, 1.5])
def test_the_grid_and_the_points_agree_on_where_things_are(angle: float, zoom: float) -> None:
    view = View(50, angle, zoom)
    across, down = view.make_grid()
    spot = (float(across[12, 31]), float(down[12, 31]))
    assert view.locate([spot])[0] == pytest.approx((31.5, 12.5), abs=1e-3)


def test_a_box_covers_its_area_whatever_the_rotation() -> None:
    for angle in (0.0, 0.6):
        canvas = _open(View(200, angle, 1.0))
        canvas.box((0.0, 0.0), 0.4, 0.2, WHITE, angle=0.3)
        share = (np.asarray(canvas.image)[..., 0] == 255).mean()
        assert share == pytest.approx(0.08, rel=0.05)


def test_a_shadow_falls_away_from_the_sun() -> None:
    canvas = _open(View(100, 0.0, 1.0))
    canvas.disc((0.0, 0.0), 0.1, WHITE, height=0.2)
    row = np.asarray(canvas.image)[50, :, 0]
    assert row[30] < 100
    assert row[70] == 100


def test_the_sunny_side_turns_with_the_view() -> None:
    for angle in (0.0, math.pi / 2, 2.0):
        canvas = _open(View(100, angle, 1.0))
        x, y = canvas.view.locate([canvas.towards_sun((0.0, 0.0), 0.1)])[0]
        assert (x, y) == pytest.approx((60.0, 50.0))


def test_only_points_inside_the_image_count_as_seen() -> None:
    canvas = _open(View(100, 0.0, 2.0))
    assert canvas.contains((0.2, -0.2))
    assert not canvas.contains((0.3, 0.0))


def test_a_box_is_centred_and_turned() -> None:
    corners = np.array(make_box((1.0, 2.0), 4.0, 2.0, math.pi / 2))
    assert corners.mean(axis=0) == pytest.approx([1.0, 2.0])
    assert np.ptp(corners, axis=0) == pytest.approx([2.0, 4.0])


def test_varied_and_darkened_colours_stay_in_range() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        assert all(0 <= channel <= 255 for channel in vary(rng, (250, 3, 128), 40))
    assert darken((200, 100, 50), 0.5) == (100, 50, 25)
    assert darken((200, 100, 50), 1.5) == (255, 150, 75)
