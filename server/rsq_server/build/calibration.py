"""What static recipes and smoothing look at: a few prepared images and texts of a set."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rsq.digest import digest_bytes
from rsq.errors import BadImage, BadInput, BadSource
from rsq.images import load_pixel_values
from rsq.manifest import ImageSpec, TextSpec, Tower, canonical_json
from rsq.text import TextTokenizer
from rsq_server.build.questions import label_prompt
from rsq_server.datasets.augmentation import augmented
from rsq_server.datasets.generated import generated_captions
from rsq_server.datasets.image_text_set import ImageTextSet, Sample
from rsq_server.datasets.sampling import sample_by_class, take_in_turn
from rsq_server.datasets.unlikeness import warn_if_unlike

IMAGES = 64
TEXTS = 128
_SEED = 0


class Preparer(Protocol):
    """What makes a tower's inputs: `rsq.encoder.Encoder`, or CheckpointPreparer."""

    def prepare_image(self, data: bytes) -> NDArray[np.float32]:
        """float32 [3, h, w] of an encoded image file. Raises BadImage."""

    def prepare_texts(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """int64 [n, max_length]. Raises BadInput naming the text at fault."""


class Embedder(Preparer, Protocol):
    """A Preparer that embeds: `rsq.encoder.Encoder`."""

    def embed_prepared(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """Prepared inputs [n, ...] -> float32 [n, dim], L2-normalised."""


class CheckpointPreparer:
    """Prepares as the artifacts of a checkpoint will, before there are any."""

    def __init__(self, image: ImageSpec, text: TextSpec, tokenizer_json: Path) -> None:
        """Raises as `TextTokenizer.open` does."""
        self._image = image
        self._tokenizer = TextTokenizer.open(tokenizer_json, text)

    def prepare_image(self, data: bytes) -> NDArray[np.float32]:
        return load_pixel_values(data, self._image)

    def prepare_texts(self, texts: Sequence[str]) -> NDArray[np.int64]:
        return self._tokenizer.encode(texts)


@dataclass(frozen=True)
class Calibration:
    """`name` of the set; `digest` of the set and what was chosen of it, for the lineage."""

    name: str
    digest: str
    samples: tuple[Sample, ...]
    texts: tuple[str, ...]

    def inputs(self, tower: Tower, preparer: Preparer) -> Iterator[NDArray[Any]]:
        """float32 [1, 3, h, w] of each image, or int64 [1, max_length] of each text, in the same
        order every time, each made when it is asked for.

        Raises BadSource naming an image that can't be read any more.
        """
        if tower == "text":
            yield from (preparer.prepare_texts([text]) for text in self.texts)
            return
        for sample in self.samples:
            yield _prepare(preparer, sample)[None]


def choose_calibration(
    dataset: ImageTextSet, *, images: int = IMAGES, texts: int = TEXTS
) -> Calibration:
    """`images` of the set, every class with the same share; where it has fewer, all of them and
    augmented variants of them. `texts` are their captions, then the prompts of the set's labels,
    then captions of generated scenes, each text once.

    Raises BadInput for a set without samples, or fewer than 1 image or text.
    """
    if not dataset.samples or images < 1 or texts < 1:
        raise BadInput("Calibration takes a set with samples, and 1 or more images and texts.")
    copies = math.ceil(images / len(dataset.samples)) - 1
    chosen = (
        sample_by_class(dataset, images, _SEED)
        if copies == 0
        else augmented(sample_by_class(dataset, len(dataset.samples), _SEED), copies, _SEED)
    )
    samples = chosen.samples[:images]
    chosen_texts = _choose_texts(dataset, samples, texts)
    content = {"set": chosen.digest, "images": images, "texts": chosen_texts}
    return Calibration(
        dataset.name, digest_bytes(canonical_json(content)), samples, tuple(chosen_texts)
    )


def compare_looks(
    encoder: Embedder, calibration: ImageTextSet, evaluation: ImageTextSet
) -> str | None:
    """A sentence where the two sets look unlike to `encoder`, a vision tower, as `warn_if_unlike`
    says; else None. Embeds IMAGES of each, every class with the same share.

    Takes the sets as they were read: augmented variants are no independent images.
    """
    rows = (
        _embed(encoder, sample_by_class(dataset, IMAGES, _SEED).samples)
        for dataset in (calibration, evaluation)
    )
    return warn_if_unlike(*rows)


def _choose_texts(dataset: ImageTextSet, samples: Sequence[Sample], count: int) -> list[str]:
    captions = list(take_in_turn([sample.captions for sample in samples]))
    labels = sorted({sample.label for sample in dataset.samples if sample.label})
    found = dict.fromkeys([*captions, *map(label_prompt, labels)])
    if len(found) < count:
        found |= dict.fromkeys(generated_captions(count))
    return list(found)[:count]


def _prepare(preparer: Preparer, sample: Sample) -> NDArray[np.float32]:
    try:
        return preparer.prepare_image(sample.read())
    except BadImage as e:
        raise BadSource(f"{sample.describe()} can't be used: {e.message}") from e


def _embed(encoder: Embedder, samples: Sequence[Sample]) -> NDArray[np.float32]:
    rows = (encoder.embed_prepared(_prepare(encoder, sample)[None]) for sample in samples)
    return np.concatenate(list(rows))
