"""The texts that a data set is searched and classified with, and what they should find."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from rsq_server.build.metrics import Targets
from rsq_server.datasets.image_text_set import ImageTextSet
from rsq_server.demo.scenes import CLASSES


@dataclass(frozen=True)
class Questions:
    """What one set is evaluated with."""

    queries: tuple[str, ...]
    prompts: tuple[str, ...]  # one for each label, in the labels' order; empty without labels
    targets: Targets


def ask(dataset: ImageTextSet) -> Questions:
    """The first captions of the set; where it has none, its labels' prompts; where it has none of
    these either, prompts for the generated scenes' classes, which any overhead imagery can be
    searched with."""
    captioned = [(index, s.captions[0]) for index, s in enumerate(dataset.samples) if s.captions]
    labels = sorted({s.label for s in dataset.samples if s.label}) if dataset.labels else []
    prompts = tuple(label_prompt(label) for label in labels)
    order = {label: index for index, label in enumerate(labels)}
    targets = Targets(
        own_images=np.array([index for index, _ in captioned], np.int64) if captioned else None,
        label_indices=np.array([order[s.label] for s in dataset.samples if s.label], np.int64)
        if labels
        else None,
    )
    queries = tuple(caption for _, caption in captioned) or prompts
    return Questions(queries or tuple(label_prompt(name) for name in CLASSES), prompts, targets)


def label_prompt(label: str) -> str:
    """The zero-shot prompt of a label as folders are named: "SparseResidential" and
    "sparse_residential" give "a satellite image of sparse residential"."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[_\-\s]+", " ", label)
    return f"a satellite image of {spaced.strip().lower()}"
