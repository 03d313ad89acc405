"""Noise fields and shading."""

from __future__ import annotations

import numpy as np
import pytest

from rsq_server.demo.terrain import (
    apply_ramp,
    blend,
    make_fractal,
    make_mask,
    make_ridges,
    shade_relief,
)


@pytest.mark.parametrize("make", [make_fractal, make_ridges])
def test_noise_fills_the_unit_range_and_covers_every_pixel(make: object) -> None:
    assert callable(make)
    field = make(np.random.default_rng(3), 64, cells=4)
    assert field.shape == (64, 64)
    assert field.dtype == np.float32
    assert field.min() >= 0.0
    assert field.max() <= 1.0
    # Each corner varies: an interpolation that leaves the grid would leave flat corners.
    for corner in (field[:8, :8], field[:8, -8:], field[-8:, :8], field[-8:, -8:]):
        assert corner.std() > 0.002


def test_noise_is_the_same_field_at_every_resolution() -> None:
    small, large = (make_fractal(np.random.default_rng(5), size, cells=3) for size in (64, 128))
    halved = large.reshape(64, 2, 64, 2).mean(axis=(1, 3))
    assert np.corrcoef(small.ravel(), halved.ravel())[0, 1] > 0.99


def test_a_ramp_gives_its_end_colours_and_mixes_between() -> None:
    field = np.array([[0.0, 0.5, 1.0, 2.0]], dtype=np.float32)
    colours = apply_ramp(field, ((0.0, (0, 0, 0)), (1.0, (200, 100, 50))))
    assert colours[0, 0] == pytest.approx([0, 0, 0])
    assert colours[0, 1] == pytest.approx([100, 50, 25], abs=1.0)
    assert colours[0, 3] == pytest.approx([200, 100, 50])


def test_slopes_that_face_the_sun_are_lighter_and_level_ground_is_neutral() -> None:
    across = np.tile(np.linspace(0.0, 1.0, 32, dtype=np.float32), (32, 1))
    level = shade_relief(np.zeros_like(across), (1.0, 0.0), steepness=0.3)
    rising_towards_sun = shade_relief(across, (1.0, 0.0), steepness=0.3)
    falling_towards_sun = shade_relief(across, (-1.0, 0.0), steepness=0.3)
    assert level == pytest.approx(np.ones_like(level))
    assert rising_towards_sun.mean() < 1.0 < falling_towards_sun.mean()


def test_a_mask_lays_one_colour_over_another() -> None:
    mask = make_mask(np.array([[0.0, 0.5, 1.0]], dtype=np.float32), 0.5, 0.2)
    mixed = blend(np.zeros((1, 3, 3), dtype=np.float32), (100, 100, 100), mask)
    assert mixed[0, :, 0] == pytest.approx([0.0, 50.0, 100.0])
