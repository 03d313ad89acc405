"""Reading a set from disk, by the reader that fits what lies there."""

from __future__ import annotations

import itertools
from pathlib import Path

from rsq.digest import digest_bytes
from rsq.errors import BadImage, BadSource
from rsq.images import decode_image
from rsq_server.datasets.captions import CAPTIONS_FILE, read_captions_file
from rsq_server.datasets.hugging_face import (
    METADATA_FILES,
    is_hugging_face,
    read_hugging_face,
    refuse_saved,
)
from rsq_server.datasets.image_files import IMAGE_SUFFIXES
from rsq_server.datasets.image_folder import list_images
from rsq_server.datasets.image_text_set import (
    CALIBRATION_SPLIT,
    ImageTextSet,
    Sample,
    digest_samples,
)
from rsq_server.datasets.rsicd import RSICD_FILE, read_rsicd

# Of the largest absolute value that 1,027 AID test images send into each linear layer
# (rsq-siglip-small, the 39 layers of its vision tower), one AID calibration image reaches 69 % on
# average, 8 images 82 %, 64 images 91 %; 64 images of noise reach 75 %. Below 8, a scale is the
# chance of one picture (bench_calibration_sets.py).
MIN_CALIBRATION_IMAGES = 8


def load_calibration_set(path: Path) -> ImageTextSet:
    """The split `calibration` of `path`, as `load_image_text_set` reads it.

    Raises BadSource as that does, and for fewer than MIN_CALIBRATION_IMAGES images.
    """
    found = _load(path, CALIBRATION_SPLIT, f"calibration needs at least {MIN_CALIBRATION_IMAGES}")
    count = len(found.samples)
    if count < MIN_CALIBRATION_IMAGES:
        raise BadSource(
            f"{path} holds {count} {'image' if count == 1 else 'images'}; calibration needs at "
            f"least {MIN_CALIBRATION_IMAGES}, since fewer show too little of the range of values "
            "that other images reach."
        )
    return found


def load_image_text_set(path: Path, *, split: str) -> ImageTextSet:
    """The samples of `split` in `path`, sorted by name, every image decoded once so that a broken
    one shows here and not after minutes of work.

    `path` is a folder with `captions.jsonl`, RSICD's `dataset_rsicd.json`, Hugging Face's metadata
    or split folders, or else a plain image folder; or one of the two JSON files itself. A plain
    image folder has no splits and is used whole. RSICD and Hugging Face folders have no split
    `calibration`: their `train` is read for it.

    Raises BadSource for a folder that is missing, empty or without that split, a malformed line
    (with its number), an image that is missing or corrupt (with its name), or one outside the
    folder; BadInput for too many images.
    """
    return _load(path, split, None)


def _load(path: Path, split: str, need: str | None) -> ImageTextSet:
    """`need` goes into the sentence for a folder without images."""
    try:
        entries = _read_entries(path, split)
        if not entries:
            refuse_saved(path)
    except OSError as e:
        raise BadSource(f"{e.filename or path} can't be read: {e.strerror}.") from e
    named = sorted(entries, key=lambda entry: entry[0])
    if not named:
        suffixes = ", ".join(sorted(IMAGE_SUFFIXES))
        raise BadSource(f"{path} holds no images ({suffixes}){f'; {need}' if need else ''}.")
    names = [name for name, _ in named]
    for name, following in itertools.pairwise(names):
        if name == following:
            raise BadSource(f"{path} lists {name} twice in the split {split!r}.")
    digests = [_check_image(sample) for _, sample in named]
    samples = tuple(sample for _, sample in named)
    folder = path.parent if path.is_file() else path
    return ImageTextSet(
        name=folder.resolve().name,
        digest=digest_samples(zip(names, digests, samples, strict=True), split),
        samples=samples,
        labels=all(sample.label is not None for sample in samples),
    )


def _read_entries(path: Path, split: str) -> list[tuple[str, Sample]]:
    if path.is_file():
        if path.name in METADATA_FILES:
            return read_hugging_face(path.parent, split)
        if path.suffix == ".jsonl":
            return read_captions_file(path, split)
        if path.suffix == ".json":
            return read_rsicd(path, split)
        raise BadSource(f"{path} is neither a folder nor a JSON file of captions.")
    if not path.is_dir():
        raise BadSource(f"{path} is not a folder of images.")
    if (path / CAPTIONS_FILE).is_file():
        return read_captions_file(path / CAPTIONS_FILE, split)
    if (path / RSICD_FILE).is_file():
        return read_rsicd(path / RSICD_FILE, split)
    return read_hugging_face(path, split) if is_hugging_face(path) else list_images(path)


def _check_image(sample: Sample) -> str:
    """The SHA-256 of a file that decodes."""
    data = sample.read()
    try:
        decode_image(data)
    except BadImage as e:
        raise BadSource(f"{sample.describe()} can't be used: {e.message}") from e
    return digest_bytes(data)
