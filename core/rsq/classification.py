"""Zero-shot classification: what a label's text is, and which labels describe an image best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsq.errors import BadInput
from rsq.manifest import ScoringSpec
from rsq.similarity import probabilities

MAX_LABELS = 1000
_PLACE = "{}"


@dataclass(frozen=True)
class LabelScore:
    """`probability` is as the model was trained: each label by itself (SigLIP), or a share among
    all the labels that were asked for (CLIP)."""

    label: str
    cosine: float
    probability: float


def label_texts(labels: Sequence[str], template: str) -> list[str]:
    """The text of each label: `template` with the label in place of its one {}; the label alone
    where the template is empty.

    Raises BadInput for a template without exactly one {}, no labels or more than MAX_LABELS, and
    for a label that is empty or given twice.
    """
    if not labels:
        raise BadInput("There are no labels; name at least one.")
    if len(labels) > MAX_LABELS:
        raise BadInput(f"{len(labels)} labels in one call, over the limit of {MAX_LABELS}.")
    if template and template.count(_PLACE) != 1:
        raise BadInput(
            f"The template {template[:80]!r} needs one {{}} where the label goes, as in "
            "'a satellite image of {}'."
        )
    seen: set[str] = set()
    for label in labels:
        if not label.strip():
            raise BadInput("A label is empty.")
        if label in seen:
            raise BadInput(f"The label {label[:80]!r} is given twice.")
        seen.add(label)
    return [template.replace(_PLACE, label) if template else label for label in labels]


def rank_labels(
    cosines: NDArray[np.float64], labels: Sequence[str], scoring: ScoringSpec, *, top: int
) -> list[LabelScore]:
    """The `top` labels of one image (0: all), best first. `cosines` is [labels], in their order;
    labels of equal cosine keep that order."""
    chances = probabilities(cosines, scoring)
    order = np.argsort(-cosines, kind="stable")[: top or None]
    return [LabelScore(labels[i], float(cosines[i]), float(chances[i])) for i in order]
