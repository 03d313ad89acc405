"""Variants of an image that the same sensor could have taken: for sets too small to calibrate with.

Overhead images have no up, so flips and quarter turns are as likely as the original. A crop keeps
at least half of the area, so that the scene stays what its label and captions say; learning to
recognise takes far smaller ones (8 %, Szegedy et al. 2015). Its aspect is that paper's, 3/4 to 4/3.
Colours change by at most 20 %, half of what contrastive learning uses to make a model blind to
them (0.4, Chen et al. 2020, MoCo v2); hue stays.

Measured with rsq-siglip-small (bench_calibration_sets.py): 8 AID images reach 82 % of the value
range of 1,027 test images, with 7 variants of each 88 %, 64 AID images 91 %. A variant's cosine to
its original is 0.94 on average, and 64 variants look as much like the test images as originals do.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageEnhance

from rsq.digest import digest_bytes
from rsq.errors import BadImage, BadInput, BadSource
from rsq.images import decode_image
from rsq.manifest import canonical_json
from rsq_server.datasets.image_files import MAX_SAMPLES
from rsq_server.datasets.image_text_set import ImageTextSet, Sample

CROP_AREA = (0.5, 1.0)  # share of the image
CROP_ASPECT = (3 / 4, 4 / 3)  # width to height, of the crop relative to the image
COLOUR_JITTER = 0.2  # brightness, contrast and saturation are multiplied by 1 - it to 1 + it
_TURNS = (
    None,
    Image.Transpose.ROTATE_90,
    Image.Transpose.ROTATE_180,
    Image.Transpose.ROTATE_270,
)
_ENHANCERS = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)


@dataclass(frozen=True)
class AugmentedImage:
    """A variant of `original`, made each time it is read, as `seed` says."""

    original: Sample
    seed: tuple[int, ...]

    def read(self) -> bytes:
        """A BMP file, which has one encoding of an image. Raises BadSource naming an original that
        can't be read or decoded."""
        try:
            image = decode_image(self.original.read())
        except BadImage as e:
            raise BadSource(f"{self.original.describe()} can't be used: {e.message}") from e
        buffer = io.BytesIO()
        augment(image, np.random.default_rng(self.seed)).save(buffer, "BMP")
        return buffer.getvalue()

    def describe(self) -> str:
        return f"a variant of {self.original.describe()}"


def augment(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A variant of an image in mode RGB: cropped and resized to the size it had, flipped, turned by
    quarters (which swaps width and height), its colours changed. The same state of `rng` gives the
    same pixels."""
    image = _crop(image, rng)
    for flip in (Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.FLIP_TOP_BOTTOM):
        if rng.random() < 0.5:
            image = image.transpose(flip)
    turn = _TURNS[int(rng.integers(len(_TURNS)))]
    if turn is not None:
        image = image.transpose(turn)
    for enhancer in _ENHANCERS:
        image = enhancer(image).enhance(rng.uniform(1 - COLOUR_JITTER, 1 + COLOUR_JITTER))
    return image


def augmented(dataset: ImageTextSet, copies: int, seed: int) -> ImageTextSet:
    """The set's samples, then a variant of each, then another of each, until there are `copies`.
    A variant has its original's label and captions, and is made only when it is read.

    Raises BadInput for a negative number of copies or seed, or more than MAX_SAMPLES samples.
    """
    if copies < 0 or seed < 0:
        raise BadInput(f"{copies} copies with the seed {seed} were asked for; both are 0 or more.")
    if len(dataset.samples) * (1 + copies) > MAX_SAMPLES:
        raise BadInput(f"{copies} copies of each image make more than {MAX_SAMPLES} images.")
    variants = (
        Sample(AugmentedImage(sample, (seed, copy, index)), sample.label, sample.captions)
        for copy in range(copies)
        for index, sample in enumerate(dataset.samples)
    )
    parameters = {
        "set": dataset.digest,
        "copies": copies,
        "seed": seed,
        "crop_area": CROP_AREA,
        "crop_aspect": CROP_ASPECT,
        "colour_jitter": COLOUR_JITTER,
        "flips": True,
        "quarter_turns": True,
    }
    return ImageTextSet(
        name=f"{dataset.name}-augmented-{copies}",
        digest=digest_bytes(canonical_json(parameters)),
        samples=(*dataset.samples, *variants),
        labels=dataset.labels,
    )


def _crop(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    area = rng.uniform(*CROP_AREA)
    # Uniform in the logarithm, so that wide crops are as likely as tall ones.
    aspect = math.exp(rng.uniform(math.log(CROP_ASPECT[0]), math.log(CROP_ASPECT[1])))
    width = image.width * min(1.0, math.sqrt(area * aspect))
    height = image.height * min(1.0, math.sqrt(area / aspect))
    left = rng.uniform(0, image.width - width)
    top = rng.uniform(0, image.height - height)
    box = (left, top, min(left + width, image.width), min(top + height, image.height))
    return image.resize(image.size, Image.Resampling.BICUBIC, box)
