"""A smaller set from a larger one, every class with the same share."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TypeVar

from rsq.digest import digest_bytes
from rsq.errors import BadInput
from rsq.manifest import canonical_json
from rsq_server.datasets.image_text_set import ImageTextSet

Item = TypeVar("Item")


def sample_by_class(dataset: ImageTextSet, count: int, seed: int) -> ImageTextSet:
    """`count` samples, or all where there are fewer: one of each label in turn until it suffices,
    so that shares differ by one at most, small classes are used up, and any beginning is as fair.
    Samples without a label count as a class of their own; without any label all have one chance.

    The order is by SHA-256 of seed, set and place, so it is the same with every version of every
    library. Raises BadInput for a count below 1.
    """
    if count < 1:
        raise BadInput(f"A sample of {count} images was asked for; it takes 1 or more.")

    def draw(what: object) -> str:
        return digest_bytes(canonical_json({"set": dataset.digest, "seed": seed, "of": what}))

    classes: dict[str | None, list[int]] = defaultdict(list)
    for index, sample in enumerate(dataset.samples):
        classes[sample.label].append(index)
    # Classes are drawn too, so that it is not the first in the alphabet that get one more.
    drawn = [
        sorted(classes[label], key=draw)
        for label in sorted(classes, key=lambda label: draw([label]))
    ]
    chosen = list(take_in_turn(drawn))[:count]
    samples = tuple(dataset.samples[index] for index in chosen)
    return dataclasses.replace(
        dataset,
        name=f"{dataset.name}-sample-{len(samples)}",
        digest=digest_bytes(canonical_json({"set": dataset.digest, "samples": chosen})),
        samples=samples,
        labels=all(sample.label is not None for sample in samples),
    )


def take_in_turn(rows: Sequence[Sequence[Item]]) -> Iterator[Item]:
    """The first item of each row, then the second of each that has one, and so on."""
    for place in range(max(map(len, rows), default=0)):
        yield from (row[place] for row in rows if place < len(row))
