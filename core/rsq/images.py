"""From an encoded image file to the tensor that a vision tower reads.

The result equals the reference processors' (SiglipImageProcessor and CLIPImageProcessor of
transformers, Pillow backend, on `PIL.Image.open(file)`), with one exception: samples of more than
8 bits are scaled by percentile (see `rsq.dynamic_range`) where the reference clips them.

As in the reference, transparency is laid over white, animations give their first frame, and an EXIF
orientation is not applied (TIFF's own orientation tag is, by Pillow).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rsq.dynamic_range import decode_deep, is_deep
from rsq.errors import BadImage, BadManifest
from rsq.image_file import MAX_PIXELS, load_pixels, open_image
from rsq.manifest import ImageSpec

_RESAMPLE = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
_WHITE = (255, 255, 255, 255)


def load_pixel_values(
    data: bytes, spec: ImageSpec, *, max_pixels: int = MAX_PIXELS
) -> NDArray[np.float32]:
    """`pixel_values`, float32 [3, spec.height, spec.width], of an encoded image.

    Raises BadImage as `decode_image` and `preprocess_image` do.
    """
    return preprocess_image(decode_image(data, max_pixels=max_pixels), spec)


def decode_image(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The first frame of a JPEG, PNG, WebP, TIFF, BMP or GIF file, in mode RGB.

    Raises BadImage for an empty, truncated or damaged file, an unknown format, and, before any
    pixel is decoded, for more than `max_pixels` pixels (at most MAX_PIXELS).
    """
    image = open_image(data, max_pixels=max_pixels)
    if is_deep(image):
        return _to_rgb(decode_deep(image, data))
    load_pixels(image)
    return _to_rgb(image)


def preprocess_image(image: Image.Image, spec: ImageSpec) -> NDArray[np.float32]:
    """float32 [3, spec.height, spec.width] from an image in mode RGB.

    Raises BadImage when the image is so long and thin that scaling its shorter edge makes more than
    MAX_PIXELS pixels, and BadManifest for an unknown `spec.resample`.
    """
    if spec.resample not in _RESAMPLE:
        raise BadManifest(f"Unknown resampling {spec.resample[:40]!r}.")
    resample = _RESAMPLE[spec.resample]
    if spec.shortest_edge is None:
        image = image.resize((spec.width, spec.height), resample)
    else:
        image = image.resize(_scaled_size(image, spec.shortest_edge), resample)
        left = (image.width - spec.width) // 2
        top = (image.height - spec.height) // 2
        # Where the image is smaller than the cut, Pillow fills with zeros, as the reference does.
        image = image.crop((left, top, left + spec.width, top + spec.height))
    # The reference's order and precision, for equality to the last bit: double for the product,
    # single from there on.
    rescaled = (np.asarray(image) * np.float64(spec.rescale_factor)).astype(np.float32)
    normalised = (rescaled - np.array(spec.mean, np.float32)) / np.array(spec.std, np.float32)
    return np.ascontiguousarray(normalised.transpose(2, 0, 1))


def _scaled_size(image: Image.Image, shortest_edge: int) -> tuple[int, int]:
    """(width, height) with the shorter edge at `shortest_edge` and the longer one rounded down."""
    short, long = sorted(image.size)
    new_long = int(shortest_edge * long / short)
    if shortest_edge * new_long > MAX_PIXELS:
        raise BadImage(
            f"The image of {image.width} x {image.height} pixels is too long and thin to scale its "
            f"shorter edge to {shortest_edge}."
        )
    if image.width <= image.height:
        return shortest_edge, new_long
    return new_long, shortest_edge


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and image.info.get("transparency") is None:
        return image  # `convert` would copy it
    if "A" not in image.getbands() and image.info.get("transparency") is None:
        return image.convert("RGB")
    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, _WHITE), rgba).convert("RGB")
