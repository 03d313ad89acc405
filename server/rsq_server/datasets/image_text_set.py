"""Samples and the sets they make."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rsq.digest import digest_bytes
from rsq.manifest import canonical_json
from rsq_server.datasets.image_files import read_image

CALIBRATION_SPLIT = "calibration"
EVALUATION_SPLIT = "test"


class DerivedImage(Protocol):
    """An image that is made each time it is read, the same bytes every time."""

    def read(self) -> bytes:
        """The encoded image. Raises BadSource naming the file that can't be read."""

    def describe(self) -> str:
        """How messages call the image."""


@dataclass(frozen=True)
class Sample:
    """One image, as a file, as an encoded file in memory or made when it is read, with what is
    known of it."""

    image: Path | bytes | DerivedImage
    label: str | None
    captions: tuple[str, ...]

    def read(self) -> bytes:
        """The encoded image. Raises BadSource naming the file that can't be read."""
        if isinstance(self.image, bytes):
            return self.image
        return read_image(self.image) if isinstance(self.image, Path) else self.image.read()

    def describe(self) -> str:
        """How messages call the image."""
        if isinstance(self.image, bytes):
            return "a generated image"
        return str(self.image) if isinstance(self.image, Path) else self.image.describe()


@dataclass(frozen=True)
class ImageTextSet:
    """`digest` covers names, image bytes, captions, labels and split, or for a set made from
    another, that one's digest and how; `labels` says that every sample has a label."""

    name: str
    digest: str
    samples: tuple[Sample, ...]
    labels: bool


def digest_samples(rows: Iterable[tuple[str, str, Sample]], split: str) -> str:
    """The digest of a set's (name, image digest, sample) rows, in their order."""
    listing = [[name, digest, sample.label, sample.captions] for name, digest, sample in rows]
    return digest_bytes(canonical_json({"split": split, "samples": listing}))
