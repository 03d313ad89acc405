"""The preprocessing against recorded outputs of the reference processors; no torch needed."""

from __future__ import annotations

import io
import json
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from rsq.errors import BadImage, BadManifest
from rsq.image_file import MAX_PIXELS
from rsq.images import decode_image, load_pixel_values, preprocess_image
from rsq.manifest import ImageSpec

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
FACTS = json.loads((GOLDEN / "preprocessing.json").read_text())
SPECS = {
    kind: ImageSpec(**{**fields, "mean": tuple(fields["mean"]), "std": tuple(fields["std"])})
    for kind, fields in FACTS["specs"].items()
}
# Decoders of lossy formats may round differently from one build of their library to the next.
LOSSY = ("jpeg", "webp-lossy")


@pytest.fixture(scope="module")
def golden() -> dict[str, NDArray[Any]]:
    with np.load(GOLDEN / "preprocessing.npz", allow_pickle=False) as arrays:
        return dict(arrays)


def encode(image: Image.Image, file_format: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", SPECS)
@pytest.mark.parametrize("case", FACTS["cases"])
def test_pixel_values_equal_the_recorded_reference(
    case: str, kind: str, golden: dict[str, NDArray[Any]]
) -> None:
    spec, expected = SPECS[kind], golden[f"{case}.{kind}"]
    values = load_pixel_values(golden[case].tobytes(), spec)
    assert values.dtype == np.float32
    assert values.shape == expected.shape == (3, spec.height, spec.width)
    assert expected.std() > 0.1  # a picture, not a blank
    tolerance = 1 / 255 / min(spec.std) if case.startswith(LOSSY) else 1e-6
    assert np.abs(values - expected).max() <= tolerance


def test_values_are_contiguous_and_independent_of_the_thread(
    golden: dict[str, NDArray[Any]],
) -> None:
    files = [golden[case].tobytes() for case in FACTS["cases"]] * 4
    spec = SPECS["clip"]
    alone = [load_pixel_values(data, spec) for data in files]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda data: load_pixel_values(data, spec), files))
    assert all(values.flags.c_contiguous for values in together)
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


def test_transparent_pixels_become_white() -> None:
    image = Image.new("RGBA", (5, 4), (10, 20, 30, 0))
    assert np.asarray(decode_image(encode(image))).min() == 255


def test_animation_gives_its_first_frame() -> None:
    frames = [Image.new("RGB", (6, 5), colour) for colour in ("red", "blue", "lime")]
    for file_format in ("GIF", "WEBP", "PNG", "TIFF"):
        options = {"lossless": True} if file_format == "WEBP" else {}
        data = encode(frames[0], file_format, save_all=True, append_images=frames[1:], **options)
        assert decode_image(data).getpixel((2, 2)) == (255, 0, 0), file_format


def test_exif_orientation_is_not_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode_image(encode(Image.new("RGB", (8, 3)), "JPEG", exif=exif)).size == (8, 3)


def test_crop_wider_than_the_image_is_filled_with_black() -> None:
    spec = ImageSpec(4, 8, (0.0,) * 3, (1.0,) * 3, shortest_edge=4)
    values = preprocess_image(Image.new("RGB", (4, 4), "white"), spec)
    assert np.array_equal(values[0, 0], [0, 0, 1, 1, 1, 1, 0, 0])


def test_extreme_aspect_is_refused_instead_of_filling_memory() -> None:
    spec = ImageSpec(224, 224, (0.5,) * 3, (0.5,) * 3, shortest_edge=224)
    with pytest.raises(BadImage, match="40000 x 1 pixels is too long and thin"):
        preprocess_image(Image.new("RGB", (40_000, 1)), spec)


def test_extreme_aspect_is_fine_when_resized_directly() -> None:
    spec = ImageSpec(16, 16, (0.5,) * 3, (0.5,) * 3)
    assert preprocess_image(Image.new("RGB", (40_000, 1)), spec).shape == (3, 16, 16)


def test_unknown_resampling_is_refused() -> None:
    spec = ImageSpec(4, 4, (0.5,) * 3, (0.5,) * 3, resample="magic")
    with pytest.raises(BadManifest, match="Unknown resampling 'magic'"):
        preprocess_image(Image.new("RGB", (4, 4)), spec)


def test_decoding_leaves_pillow_settings_and_warnings_alone() -> None:
    before = (Image.MAX_IMAGE_PIXELS, list(warnings.filters))
    decode_image(encode(Image.new("RGB", (4, 4))))
    assert (Image.MAX_IMAGE_PIXELS, list(warnings.filters)) == before
    assert Image.MAX_IMAGE_PIXELS is not None
    assert MAX_PIXELS <= Image.MAX_IMAGE_PIXELS  # else Pillow warns before rsq refuses
