from __future__ import annotations

import dataclasses
import io
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from image_sets import make_noise_png, make_png, make_set, write_images
from PIL import Image

from rsq.errors import BadInput, BadSource
from rsq.images import decode_image
from rsq_server.datasets.augmentation import CROP_AREA, augment, augmented
from rsq_server.datasets.image_files import MAX_SAMPLES
from rsq_server.datasets.image_text_set import ImageTextSet, Sample
from rsq_server.datasets.loading import load_image_text_set


@given(width=st.integers(1, 40), height=st.integers(1, 40), seed=st.integers(0, 2**32))
def test_a_variant_has_the_size_of_its_original_or_that_turned(
    width: int, height: int, seed: int
) -> None:
    image = Image.fromarray(np.full((height, width, 3), 90, np.uint8))
    found = augment(image, np.random.default_rng(seed))
    assert found.mode == "RGB"
    assert found.size in ((width, height), (height, width))


@given(seed=st.integers(0, 2**32))
def test_colours_of_an_even_image_stay_within_the_jitter(seed: int) -> None:
    # An even grey has no contrast or saturation to change: brightness is left, at most 20 %.
    image = Image.new("RGB", (9, 9), (100, 100, 100))
    pixels = np.asarray(augment(image, np.random.default_rng(seed)))
    assert pixels.min() >= 79
    assert pixels.max() <= 121
    assert np.ptp(pixels) <= 1


def test_a_variant_shows_at_least_half_of_its_original() -> None:
    # Each column has a brightness of its own, so how many are left tells the crop's width.
    ramp = np.repeat(np.arange(200, dtype=np.uint8)[None, :, None], 200, 0).repeat(3, 2)
    seen = []
    for seed in range(200):
        pixels = np.asarray(augment(Image.fromarray(ramp), np.random.default_rng(seed)), np.float64)
        sides = [np.unique(np.round(pixels[:, :, 0].mean(axis))) for axis in (0, 1)]
        seen.append(max(len(side) for side in sides) / 200)
    # A side of the crop is at least sqrt(1/2 * 3/4) = 0.61 of the image's; darker by 0.8 * 0.8 at
    # most, so that fewer brightnesses are told apart.
    assert min(seen) > (CROP_AREA[0] * 0.75) ** 0.5 * 0.64 * 0.95
    assert max(seen) > 0.8


def test_flips_and_quarter_turns_all_happen() -> None:
    corners = np.full((40, 40, 3), 60, np.uint8)
    corners[:20, :20] = (250, 60, 60)  # upper left red
    corners[:20, 20:] = (60, 60, 250)  # upper right blue
    found = set()
    for seed in range(200):
        pixels = np.asarray(augment(Image.fromarray(corners), np.random.default_rng(seed)), int)
        near = pixels[[2, 2, -3, -3], [2, -3, 2, -3]]
        red, blue = (near[:, 0] - near[:, 2]).argmax(), (near[:, 2] - near[:, 0]).argmax()
        found.add((int(red), int(blue)))
    # Eight symmetries of the square put red and blue in neighbouring corners.
    assert found == {(0, 1), (1, 0), (0, 2), (2, 0), (1, 3), (3, 1), (2, 3), (3, 2)}


def test_the_same_seed_gives_the_same_pixels_and_another_others() -> None:
    image = decode_image(make_noise_png(1))
    first, again, other = (
        augment(image, np.random.default_rng(seed)).tobytes() for seed in (1, 1, 2)
    )
    assert first == again != other


def test_the_originals_come_first_and_then_each_copy_of_all() -> None:
    dataset = make_set(["a", "b"], [("one",), ("two",)])
    found = augmented(dataset, 2, 5)
    assert found.samples[:2] == dataset.samples
    assert [s.label for s in found.samples] == ["a", "b"] * 3
    assert [s.captions for s in found.samples] == [("one",), ("two",)] * 3
    images = [sample.read() for sample in found.samples]
    assert len(set(images)) == 6
    assert images == [sample.read() for sample in augmented(dataset, 2, 5).samples]
    assert found.labels
    assert found.samples[2].describe() == "a variant of a generated image"


def test_the_digest_is_of_the_set_the_copies_and_the_seed() -> None:
    dataset = make_set(["a"])
    other = dataclasses.replace(dataset, digest="1" * 64)
    digests = [
        augmented(*arguments).digest
        for arguments in ((dataset, 1, 0), (dataset, 2, 0), (dataset, 1, 1), (other, 1, 0))
    ]
    assert len({*digests, dataset.digest}) == 5
    assert augmented(dataset, 1, 0).digest == digests[0]


def test_variants_are_made_when_they_are_read_and_not_kept(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (400, 400)).save(buffer, "PNG")
    sample = Sample(buffer.getvalue(), None, ())
    dataset = ImageTextSet("one", "0" * 64, (sample,), False)
    tracemalloc.start()
    try:
        found = augmented(dataset, 50, 0)
        for variant in found.samples:
            assert len(variant.read()) > 0
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 400 * 400 * 3  # one variant, of 50


def test_an_original_that_breaks_later_is_named(tmp_path: Path) -> None:
    found = augmented(load_image_text_set(write_images(tmp_path, ["a.png"]), split="test"), 1, 0)
    (tmp_path / "a.png").write_bytes(make_png(1)[:-30])
    with pytest.raises(BadSource, match=r"a\.png can't be used"):
        found.samples[1].read()
    assert found.samples[1].describe().endswith("a.png")


def test_impossible_numbers_are_refused() -> None:
    dataset = make_set(["a"])
    for copies, seed in ((-1, 0), (1, -1)):
        with pytest.raises(BadInput, match="0 or more"):
            augmented(dataset, copies, seed)
    with pytest.raises(BadInput, match=f"more than {MAX_SAMPLES}"):
        augmented(dataset, MAX_SAMPLES, 0)
