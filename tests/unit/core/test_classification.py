from __future__ import annotations

import numpy as np
import pytest

from rsq.classification import label_texts, rank_labels
from rsq.errors import BadInput
from rsq.manifest import ScoringSpec

COSINES = np.array([0.1, 0.3, 0.2])
LABELS = ["port", "forest", "river"]


def test_the_template_holds_the_label_as_it_is() -> None:
    assert label_texts(["{}", "a"], "see {}.") == ["see {}.", "see a."]
    assert label_texts(LABELS, "") == LABELS


@pytest.mark.parametrize("template", ["no place", "{} and {}"])
def test_a_template_without_exactly_one_place_is_refused(template: str) -> None:
    with pytest.raises(BadInput, match=r"one \{\}"):
        label_texts(LABELS, template)


def test_softmax_is_over_all_labels_also_where_few_are_returned() -> None:
    scores = rank_labels(COSINES, LABELS, ScoringSpec("softmax", 100.0), top=2)
    whole = np.exp(100 * COSINES) / np.exp(100 * COSINES).sum()
    assert [score.label for score in scores] == ["forest", "river"]
    assert [score.probability for score in scores] == pytest.approx([whole[1], whole[2]])


def test_sigmoid_judges_each_label_by_itself() -> None:
    scores = rank_labels(COSINES, LABELS, ScoringSpec("sigmoid", 10.0, -2.0), top=0)
    expected = 1 / (1 + np.exp(-(10 * np.array([0.3, 0.2, 0.1]) - 2)))
    assert [score.probability for score in scores] == pytest.approx(expected)
