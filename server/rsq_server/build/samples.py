"""What a report shows of an evaluation: scattered similarities, and hits with their images.

Everything is drawn with fixed seeds or at even distances, so that evaluating again shows the same.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rsq.errors import BadImage, BadSource
from rsq.images import decode_image
from rsq_server.build.invariance import spread_out
from rsq_server.build.neighbours import find_nearest
from rsq_server.datasets.image_text_set import ImageTextSet, Sample
from rsq_server.details import Hit, QueryHits, SimilaritySample

# The query that write-ups of remote-sensing retrieval check with.
PORT_QUERY = "port with large cargo ships"
_PORT_LABEL = "port"
QUERIES = 8
HITS = 5
POINTS = 800  # of a scatter plot
CELLS = 20_000  # of the similarity matrix, counted in a histogram
BINS = 60
THUMBNAIL_PIXELS = 160
_JPEG_QUALITY = 80
_DECIMALS = 6
_SEED = 20_260_304

Rows = NDArray[np.float32]


@dataclass(frozen=True)
class ShownQuery:
    """A text with its row among the embedded texts, and what it should find: its own image, or
    every image with `label`; None where that is unknown."""

    text: str
    row: int
    own_image: int | None = None
    label: str | None = None


def sample_similarities(
    artifact: str, reference: tuple[Rows, Rows], variant: tuple[Rows, Rows]
) -> SimilaritySample:
    """Cosines at CELLS random places of the text-image matrix, by FP32 and with the artifact named
    `artifact` in place of one tower; each side is (images [n, dim], queries [q, dim])."""
    count, asked = len(reference[0]), len(reference[1])
    random = np.random.default_rng(_SEED)
    cells = random.choice(count * asked, min(CELLS, count * asked), replace=False)
    sides = [_cosines(images, queries, cells) for images, queries in (reference, variant)]
    low, high = float(min(map(np.min, sides))), float(max(map(np.max, sides)))
    if high <= low:  # one value only, of constant outputs
        low, high = low - 1e-3, high + 1e-3
    counts = [np.histogram(side, BINS, (low, high))[0].tolist() for side in sides]
    points = [side[:POINTS].round(_DECIMALS).tolist() for side in sides]
    return SimilaritySample(
        artifact=artifact,
        fp32=tuple(points[0]),
        variant=tuple(points[1]),
        low=low,
        high=high,
        fp32_counts=tuple(counts[0]),
        variant_counts=tuple(counts[1]),
    )


def choose_queries(
    dataset: ImageTextSet,
    queries: Sequence[str],
    own_images: NDArray[np.int64] | None,
    port_row: int,
) -> list[ShownQuery]:
    """PORT_QUERY, which is row `port_row` of the texts, and others at even distances in the order
    of their labels. `queries` belong to `own_images` [q], or are label prompts where None."""
    shown = [ShownQuery(PORT_QUERY, port_row, label=_find_port_label(dataset))]
    if own_images is None:
        labels = sorted({s.label for s in dataset.samples if s.label}) if dataset.labels else []
        for row in spread_out(len(queries), QUERIES - 1):
            label = labels[row] if labels else None
            shown.append(ShownQuery(queries[row], int(row), label=label))
        return shown
    owners = [dataset.samples[image] for image in own_images]
    order = sorted(range(len(queries)), key=lambda row: owners[row].label or "")
    for place in spread_out(len(order), QUERIES - 1):
        row = order[place]
        shown.append(ShownQuery(queries[row], row, int(own_images[row]), owners[row].label))
    return shown


def find_hits(
    dataset: ImageTextSet, shown: Sequence[ShownQuery], pairs: Mapping[str, tuple[Rows, Rows]]
) -> tuple[QueryHits, ...]:
    """The first HITS images of each query by each pair, (images [n, dim], texts [t, dim]) by
    variant."""
    rows = np.array([query.row for query in shown])
    tops = {
        variant: find_nearest(images, texts[rows], HITS)
        for variant, (images, texts) in pairs.items()
    }

    def hits_of(place: int, variant: str) -> Iterator[Hit]:
        query = shown[place]
        images, texts = pairs[variant]
        for image in tops[variant][place]:
            score = round(float(images[image] @ texts[query.row]), _DECIMALS)
            relevant = _is_relevant(query, int(image), dataset.samples[image])
            yield Hit(_image_name(int(image)), score, relevant)

    return tuple(
        QueryHits(query.text, {variant: tuple(hits_of(place, variant)) for variant in pairs})
        for place, query in enumerate(shown)
    )


def make_thumbnails(dataset: ImageTextSet, hits: Sequence[QueryHits]) -> dict[str, bytes]:
    """JPEG files of at most THUMBNAIL_PIXELS a side, of the images that `hits` name."""
    names = {hit.image for query in hits for found in query.pairs.values() for hit in found}
    return {name: _make_thumbnail(dataset.samples[int(name)]) for name in sorted(names)}


def _cosines(images: Rows, queries: Rows, cells: NDArray[np.int64]) -> NDArray[np.float64]:
    parts = [
        np.einsum("ij,ij->i", queries[part // len(images)], images[part % len(images)])
        for part in np.array_split(cells, 1 + len(cells) // 2048)
    ]
    return np.concatenate(parts).astype(np.float64)


def _find_port_label(dataset: ImageTextSet) -> str | None:
    labels = {s.label for s in dataset.samples if s.label} if dataset.labels else set()
    return next((label for label in sorted(labels) if label.lower() == _PORT_LABEL), None)


def _is_relevant(query: ShownQuery, image: int, sample: Sample) -> bool | None:
    if image == query.own_image:
        return True
    if query.label is None or sample.label is None:
        return None
    return sample.label == query.label


def _image_name(image: int) -> str:
    """The image's place in the data set: its file's name would tell about the publisher's disk."""
    return f"{image:06d}"


def _make_thumbnail(sample: Sample) -> bytes:
    try:
        image = decode_image(sample.read())
    except BadImage as e:
        raise BadSource(f"{sample.describe()} can't be used: {e.message}") from e
    image.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return buffer.getvalue()
