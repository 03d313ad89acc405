"""Records preprocessing.npz and preprocessing.json: generated images in encoded form, and what the
reference processors make of them. Needs transformers; run it again only to change the cases:

    python tests/golden/record.py
"""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import transformers
from numpy.typing import NDArray
from PIL import Image
from transformers import CLIPImageProcessorPil, SiglipImageProcessorPil

from rsq.manifest import ImageSpec

FOLDER = Path(__file__).resolve().parent
SPECS = {
    "siglip": ImageSpec(14, 12, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "siglip-bilinear": ImageSpec(12, 14, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), resample="bilinear"),
    "clip": ImageSpec(
        13,
        13,
        (0.48145466, 0.4578275, 0.40821073),  # OpenAI CLIP's channel statistics
        (0.26862954, 0.26130258, 0.27577711),
        shortest_edge=13,
    ),
    "clip-padded": ImageSpec(15, 20, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4), shortest_edge=12),
}


def draw_scene(width: int, height: int, seed: int) -> Image.Image:
    """RGB: blocks and slanted waves with noise, so that every resampling step shows."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width].astype(np.float64)
    bands = []
    for _ in range(3):
        fx, fy = rng.uniform(0.05, 0.6, 2)
        waves = 127 + 90 * np.sin(fx * x + fy * y)
        blocks = (
            60
            * rng.standard_normal((8, 8))[
                (y * 8 // height).astype(int), (x * 8 // width).astype(int)
            ]
        )
        bands.append(waves + blocks + rng.normal(0, 6, (height, width)))
    return Image.fromarray(np.clip(np.stack(bands, axis=2), 0, 255).astype(np.uint8))


def fade(image: Image.Image) -> Image.Image:
    """An alpha band of the image's size, from opaque to clear."""
    return Image.linear_gradient("L").resize(image.size)


def encode(image: Image.Image, file_format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def make_files() -> dict[str, bytes]:
    """Encoded images by case name."""
    wide, tall, small = draw_scene(61, 37, 1), draw_scene(29, 58, 2), draw_scene(9, 7, 3)
    clear = wide.copy()
    clear.putalpha(fade(wide))
    palette = tall.quantize(17)
    rotated = Image.Exif()
    rotated[0x0112] = 6
    frames = [draw_scene(40, 33, seed) for seed in (4, 5)]
    return {
        "png-rgb": encode(wide, "PNG"),
        "png-small": encode(small, "PNG"),
        "png-rgba": encode(clear, "PNG"),
        "png-grey": encode(tall.convert("L"), "PNG"),
        "png-grey-alpha": encode(clear.convert("LA"), "PNG"),
        "png-palette": encode(palette, "PNG"),
        "png-palette-clear": encode(palette, "PNG", transparency=3),
        "png-palette-fading": encode(palette, "PNG", transparency=bytes(range(0, 255, 15))),
        "png-rgb-clear": encode(wide, "PNG", transparency=wide.getpixel((3, 3))),
        "png-one-bit": encode(wide.convert("1"), "PNG"),
        "bmp-rgb": encode(tall, "BMP"),
        "tiff-deflate": encode(wide, "TIFF", compression="tiff_adobe_deflate"),
        "tiff-cmyk": encode(wide.convert("CMYK"), "TIFF"),
        "gif-animated": encode(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "webp-lossless": encode(clear, "WEBP", lossless=True),
        "webp-lossy": encode(tall, "WEBP", quality=70),
        "jpeg-progressive": encode(wide, "JPEG", progressive=True, quality=80),
        "jpeg-grey": encode(tall.convert("L"), "JPEG"),
        "jpeg-cmyk": encode(wide.convert("CMYK"), "JPEG"),
        "jpeg-exif-rotated": encode(wide, "JPEG", exif=rotated),
    }


def run_reference(data: bytes, spec: ImageSpec) -> NDArray[np.float32]:
    """What the reference processor makes of the file: float32 [3, height, width]."""
    settings: dict[str, Any] = {
        "resample": Image.Resampling[spec.resample.upper()],
        "rescale_factor": spec.rescale_factor,
        "image_mean": list(spec.mean),
        "image_std": list(spec.std),
    }
    size = {"height": spec.height, "width": spec.width}
    if spec.shortest_edge is None:
        processor = SiglipImageProcessorPil(size=size, **settings)
    else:
        processor = CLIPImageProcessorPil(
            size={"shortest_edge": spec.shortest_edge}, crop_size=size, **settings
        )
    image = Image.open(io.BytesIO(data))
    values: NDArray[np.float32] = processor(image, return_tensors="np")["pixel_values"][0]
    return values


def main() -> None:
    files = make_files()
    arrays: dict[str, NDArray[Any]] = {
        name: np.frombuffer(data, np.uint8) for name, data in files.items()
    }
    for name, data in files.items():
        for kind, spec in SPECS.items():
            arrays[f"{name}.{kind}"] = run_reference(data, spec)
    np.savez_compressed(FOLDER / "preprocessing.npz", allow_pickle=False, **arrays)
    facts = {
        "cases": list(files),
        "specs": {kind: asdict(spec) for kind, spec in SPECS.items()},
        "tools": {"pillow": PIL.__version__, "transformers": transformers.__version__},
    }
    (FOLDER / "preprocessing.json").write_text(json.dumps(facts, indent=2) + "\n")


if __name__ == "__main__":
    main()
