"""rsq's preprocessing against transformers itself, on real images of odd sizes and modes."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from transformers import CLIPImageProcessorPil, SiglipImageProcessorPil

from rsq.images import decode_image, load_pixel_values
from rsq.manifest import ImageSpec

# As google/siglip-base-patch16-256 and openai/clip-vit-base-patch32 publish them.
SIGLIP_SPEC = ImageSpec(256, 256, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
CLIP_SPEC = ImageSpec(
    224,
    224,
    (0.48145466, 0.4578275, 0.40821073),
    (0.26862954, 0.26130258, 0.27577711),
    shortest_edge=224,
)
GOLDEN = Path(__file__).resolve().parents[1] / "golden"


def encode(image: Image.Image, file_format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def with_alpha(image: Image.Image) -> Image.Image:
    image = image.copy()
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return image


def rotated(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def mode(name: str, file_format: str, **options: Any) -> Callable[[Image.Image], bytes]:
    return lambda image: encode(image.convert(name), file_format, **options)


def save(file_format: str, **options: Any) -> Callable[[Image.Image], bytes]:
    return lambda image: encode(image, file_format, **options)


# (odd size, what becomes of the image)
CASES: dict[str, tuple[tuple[int, int], Callable[[Image.Image], bytes]]] = {
    "jpeg": ((149, 131), save("JPEG", quality=90)),
    "jpeg progressive": ((601, 397), save("JPEG", progressive=True, quality=75)),
    "jpeg grey": ((97, 150), mode("L", "JPEG")),
    "jpeg cmyk": ((150, 101), mode("CMYK", "JPEG")),
    "jpeg exif rotated": ((151, 83), save("JPEG", exif=rotated(6))),
    "jpeg 4:4:4": ((33, 47), save("JPEG", subsampling=0)),
    "png": ((255, 257), save("PNG")),
    "png one pixel high": ((149, 1), save("PNG")),
    "png grey": ((1, 77), mode("L", "PNG")),
    "png grey alpha": ((121, 119), lambda image: encode(with_alpha(image).convert("LA"), "PNG")),
    "png rgba": ((87, 143), lambda image: encode(with_alpha(image), "PNG")),
    "png palette": ((131, 67), lambda image: encode(image.quantize(200), "PNG")),
    "png palette clear": ((67, 131), lambda i: encode(i.quantize(31), "PNG", transparency=7)),
    "png palette fading": (
        (73, 75),
        lambda i: encode(i.quantize(64), "PNG", transparency=bytes(range(0, 256, 4))),
    ),
    "png one bit": ((143, 111), mode("1", "PNG")),
    "webp": ((139, 113), save("WEBP", quality=60)),
    "webp rgba": ((111, 61), lambda image: encode(with_alpha(image), "WEBP", lossless=True)),
    "tiff cmyk": ((91, 103), mode("CMYK", "TIFF")),
    "tiff deflate rotated": (
        (107, 59),
        save("TIFF", compression="tiff_adobe_deflate", tiffinfo=rotated(8)),
    ),
    "tiff lab": ((61, 71), lambda image: encode(Image.merge("LAB", image.split()), "TIFF")),
    "tiff ycbcr jpeg": ((128, 96), mode("YCbCr", "TIFF", compression="jpeg")),
    "bmp": ((109, 127), save("BMP")),
    "bmp palette": ((127, 109), lambda image: encode(image.quantize(255), "BMP")),
    "gif": ((149, 89), save("GIF")),
    "gif animated clear": (
        (89, 149),
        lambda image: encode(
            with_alpha(image).convert("P"),
            "GIF",
            save_all=True,
            append_images=[image.rotate(90)],
            transparency=0,
        ),
    ),
}


def run_reference(data: bytes, spec: ImageSpec) -> NDArray[np.float32]:
    size = {"height": spec.height, "width": spec.width}
    if spec.shortest_edge is None:
        processor = SiglipImageProcessorPil(
            size=size,
            image_mean=list(spec.mean),
            image_std=list(spec.std),
            resample=Image.Resampling[spec.resample.upper()],
        )
    else:
        processor = CLIPImageProcessorPil(
            size={"shortest_edge": spec.shortest_edge}, crop_size=size
        )
    with Image.open(io.BytesIO(data)) as image:
        values: NDArray[np.float32] = processor(image, return_tensors="np")["pixel_values"][0]
    return values


@pytest.fixture(scope="module")
def scenes(rsq_data: Path) -> list[Path]:
    """One real image of each AID class."""
    folders = sorted(path for path in (rsq_data / "aid-rsicd" / "images").iterdir())
    return [min(folder.iterdir()) for folder in folders]


@pytest.mark.parametrize("spec", [SIGLIP_SPEC, CLIP_SPEC], ids=["siglip", "clip"])
@pytest.mark.parametrize("case", CASES)
def test_pixel_values_equal_the_processors_on_real_images(
    case: str, spec: ImageSpec, scenes: list[Path]
) -> None:
    size, make = CASES[case]
    with Image.open(scenes[list(CASES).index(case) % len(scenes)]) as scene:
        data = make(scene.convert("RGB").resize(size))
    expected = run_reference(data, spec)
    values = load_pixel_values(data, spec)
    assert values.shape == expected.shape == (3, spec.height, spec.width)
    assert np.abs(values - expected).max() <= 1e-6


def test_pixel_values_equal_the_processors_on_files_as_they_are(
    scenes: list[Path], rsq_data: Path
) -> None:
    spec = ImageSpec(128, 128, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    geotiffs = [
        path for path in sorted((rsq_data / "geotiff").glob("*.tif")) if "cog" not in path.name
    ]
    assert len(scenes) >= 20
    assert len(geotiffs) == 4
    for path in [*scenes, *geotiffs]:
        data = path.read_bytes()
        difference = np.abs(load_pixel_values(data, spec) - run_reference(data, spec))
        assert difference.max() <= 1e-6, path.name


def test_sixteen_bit_scene_is_scaled_where_the_reference_clips_it_to_white(
    scenes: list[Path],
) -> None:
    spec = ImageSpec(128, 128, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    for path in scenes[:20]:
        with Image.open(path) as scene:
            grey = np.asarray(scene.convert("L"))
        # Reflectance as sensors store it: a small part of 16 bits, and an offset.
        data = encode(Image.fromarray(grey.astype(np.uint16) * 12 + 300), "PNG")
        low, high = np.percentile(grey, (2, 98))
        expected = np.clip((grey - low) / (high - low), 0, 1) * 255
        assert run_reference(data, spec).min() == 1.0, path.name  # white throughout
        scaled = np.asarray(decode_image(data))[..., 0]
        assert np.abs(scaled - expected).max() <= 0.51, path.name


def test_real_int16_geotiff_has_black_no_data_and_full_contrast(rsq_data: Path) -> None:
    data = (rsq_data / "geotiff" / "riotiler_cog_int16.tif").read_bytes()
    with Image.open(io.BytesIO(data)) as image:
        valid = np.asarray(image) != -32768
    grey = np.asarray(decode_image(data))[..., 0]
    assert not grey[~valid].any()
    assert (grey[valid].min(), grey[valid].max()) == (0, 255)
    assert 1 < grey[valid].mean() < 254


def test_recorded_goldens_are_what_the_installed_reference_gives() -> None:
    facts = json.loads((GOLDEN / "preprocessing.json").read_text())
    fields = facts["specs"]["siglip"]
    spec = ImageSpec(**{**fields, "mean": tuple(fields["mean"]), "std": tuple(fields["std"])})
    with np.load(GOLDEN / "preprocessing.npz", allow_pickle=False) as arrays:
        for case in facts["cases"]:
            expected = run_reference(arrays[case].tobytes(), spec)
            assert np.abs(arrays[f"{case}.siglip"] - expected).max() <= 1 / 255 / 0.5, case
