"""Image-text sets: what a variant is calibrated on and evaluated with.

A set is an image folder (sub-folder names are labels) or a folder with a `captions.jsonl` whose
lines hold image, split, label and captions. Without either, generated scenes stand in.
"""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rsq.digest import digest_bytes
from rsq.errors import BadImage, BadInput, BadSource
from rsq.images import decode_image
from rsq.manifest import canonical_json
from rsq.text import MAX_TEXT_BYTES
from rsq_server.demo.scenes import generate_scenes

CAPTIONS_FILE = "captions.jsonl"
CALIBRATION_SPLIT = "calibration"
EVALUATION_SPLIT = "test"
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif"})
MAX_SAMPLES = 100_000
MAX_LINE_CHARACTERS = 1 << 20
MAX_IMAGE_BYTES = 256 << 20

# Fixed and different, so that generated calibration never shows in generated evaluation. The demo
# model's training draws its scenes from other seeds.
_GENERATED_SEEDS = {"calibration": 9_010_001, "evaluation": 9_020_001}


@dataclass(frozen=True)
class Sample:
    """One image, as a file or as an encoded file in memory, with what is known of it."""

    image: Path | bytes
    label: str | None
    captions: tuple[str, ...]

    def read(self) -> bytes:
        """The encoded image. Raises BadSource naming the file that can't be read."""
        if isinstance(self.image, bytes):
            return self.image
        return _read_image(self.image)

    def describe(self) -> str:
        """How messages call the image."""
        return "a generated image" if isinstance(self.image, bytes) else str(self.image)


@dataclass(frozen=True)
class ImageTextSet:
    """`digest` covers names, image bytes, captions, labels and split; `labels` says that every
    sample has a label."""

    name: str
    digest: str
    samples: tuple[Sample, ...]
    labels: bool


def load_image_text_set(path: Path, *, split: str) -> ImageTextSet:
    """The samples of `split` below the folder `path`, sorted by name, every image decoded once so
    that a broken one shows here and not after minutes of work.

    A plain image folder has no splits and is used whole. Raises BadSource for a folder that is
    missing, empty or without that split, a malformed line (with its number), an image that is
    missing or corrupt (with its name), or one outside the folder.
    """
    if not path.is_dir():
        raise BadSource(f"{path} is not a folder of images.")
    captions = path / CAPTIONS_FILE
    try:
        entries = _read_captions(captions, split) if captions.is_file() else _list_images(path)
    except OSError as e:
        raise BadSource(f"{e.filename or path} can't be read: {e.strerror}.") from e
    named = sorted(entries, key=lambda entry: entry[0])
    if not named:
        raise BadSource(f"{path} holds no images ({', '.join(sorted(IMAGE_SUFFIXES))}).")
    names = [name for name, _ in named]
    for name, following in itertools.pairwise(names):
        if name == following:
            raise BadSource(f"{captions} lists {name} twice in the split {split!r}.")
    digests = [_check_image(sample) for _, sample in named]
    return ImageTextSet(
        name=path.resolve().name,
        digest=_digest(zip(names, digests, (s for _, s in named), strict=True), split),
        samples=tuple(sample for _, sample in named),
        labels=all(sample.label is not None for _, sample in named),
    )


def generated_set(purpose: Literal["calibration", "evaluation"], *, per_class: int) -> ImageTextSet:
    """Generated overhead scenes, `per_class` of each class, the same ones every time and different
    ones for the two purposes."""
    samples = []
    for scene in generate_scenes(seed=_GENERATED_SEEDS[purpose], per_class=per_class):
        buffer = io.BytesIO()
        # BMP has one encoding of an image, so the digest does not depend on a compressor's version.
        scene.image.save(buffer, "BMP")
        samples.append(Sample(buffer.getvalue(), scene.label, tuple(scene.captions)))
    split = CALIBRATION_SPLIT if purpose == "calibration" else EVALUATION_SPLIT
    rows = (
        (f"{index:06d}", digest_bytes(sample.read()), sample)
        for index, sample in enumerate(samples)
    )
    return ImageTextSet(
        name=f"generated-scenes-{purpose}-{len(samples)}",
        digest=_digest(rows, split),
        samples=tuple(samples),
        labels=True,
    )


def _digest(rows: Iterator[tuple[str, str, Sample]], split: str) -> str:
    listing = [[name, digest, sample.label, sample.captions] for name, digest, sample in rows]
    return digest_bytes(canonical_json({"split": split, "samples": listing}))


def _list_images(root: Path) -> list[tuple[str, Sample]]:
    entries = []
    for path in root.rglob("*"):
        relative = path.relative_to(root)
        hidden = any(part.startswith(".") for part in relative.parts)
        if hidden or path.suffix.lower() not in IMAGE_SUFFIXES or not path.is_file():
            continue
        _check_text(relative.as_posix(), f"The name of an image in {root}")
        label = relative.parts[0] if len(relative.parts) > 1 else None
        entries.append((relative.as_posix(), Sample(path, label, ())))
        _check_count(len(entries), root)
    return entries


def _read_captions(file: Path, split: str) -> list[tuple[str, Sample]]:
    root = file.parent.resolve()
    entries: list[tuple[str, Sample]] = []
    splits: set[str] = set()
    with file.open("rb") as lines:
        number = 0
        while line := lines.readline(MAX_LINE_CHARACTERS):
            number += 1
            if not line.strip():
                continue
            where = f"{file}, line {number}"
            fields = _parse_line(line, where)
            splits.add(fields["split"])
            if fields["split"] != split:
                continue
            path = _image_path(root, fields["image"], where)
            sample = Sample(path, fields["label"], tuple(fields["captions"]))
            entries.append((fields["image"], sample))
            _check_count(len(entries), file)
    if not entries:
        found = ", ".join(sorted(splits)) or "no lines"
        raise BadSource(f"{file} has no images of the split {split!r}; it has {found}.")
    return entries


def _parse_line(line: bytes, where: str) -> dict[str, Any]:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as e:
        raise BadSource(f"{where} is not JSON.") from e
    if not isinstance(fields, dict):
        raise BadSource(f"{where} is not a JSON object.")
    fields = {"label": None, "captions": [], **fields}
    for key in ("image", "split"):
        if not isinstance(fields.get(key), str) or not fields[key]:
            raise BadSource(f"{where} has no text in {key!r}.")
    if fields["label"] is not None and not (isinstance(fields["label"], str) and fields["label"]):
        raise BadSource(f"{where} has a label that is not a text.")
    captions = fields["captions"]
    if not isinstance(captions, list) or not all(
        isinstance(c, str) and c.strip() for c in captions
    ):
        raise BadSource(f"{where} has captions that are not a list of texts.")
    for text in (fields["image"], fields["split"], fields["label"] or "", *captions):
        _check_text(text, where)
    return fields


def _check_text(text: str, where: str) -> None:
    try:
        size_bytes = len(text.encode())
    except UnicodeEncodeError as e:
        raise BadSource(f"{where} has half a surrogate pair, which is no character.") from e
    if size_bytes > MAX_TEXT_BYTES:
        raise BadSource(f"{where} has a text of {size_bytes} bytes, over {MAX_TEXT_BYTES}.")


def _image_path(root: Path, name: str, where: str) -> Path:
    try:
        path = (root / name).resolve()
    except (ValueError, OSError) as e:  # a null byte, a loop of links
        raise BadSource(f"{where} names an image that can't be a path.") from e
    if not path.is_relative_to(root):
        raise BadSource(f"{where} names an image outside the folder: {name[:120]!r}.")
    if not path.is_file():
        raise BadSource(f"{where} names an image that isn't there: {name[:120]!r}.")
    return path


def _check_image(sample: Sample) -> str:
    """The SHA-256 of a file that decodes."""
    data = sample.read()
    try:
        decode_image(data)
    except BadImage as e:
        raise BadSource(f"{sample.describe()} can't be used: {e.message}") from e
    return digest_bytes(data)


def _read_image(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_IMAGE_BYTES:
            raise BadSource(f"{path} has over {MAX_IMAGE_BYTES} bytes.")
        return path.read_bytes()
    except OSError as e:
        raise BadSource(f"{path} can't be read: {e.strerror}.") from e


def _check_count(count: int, where: Path) -> None:
    if count > MAX_SAMPLES:
        raise BadInput(f"{where} holds more than {MAX_SAMPLES} images.")
