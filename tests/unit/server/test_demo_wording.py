"""Free wordings of classes and captions."""

from __future__ import annotations

import numpy as np

from rsq_server.demo.scenes import CLASSES
from rsq_server.demo.wording import CLASS_WORDS, name_class, reword


def test_every_class_has_words_and_no_two_classes_share_one() -> None:
    assert tuple(CLASS_WORDS) == CLASSES
    words = [word for options in CLASS_WORDS.values() for word in options]
    assert len(set(words)) == len(words)


def test_class_names_come_in_many_wordings_that_name_the_class() -> None:
    rng = np.random.default_rng(2)
    said = {name_class(rng, "port") for _ in range(200)}
    assert "a satellite image of port" in said
    assert len(said) > 40
    assert all(any(word in text for word in CLASS_WORDS["port"]) for text in said)


def test_reworded_captions_are_never_empty_and_vary() -> None:
    rng = np.random.default_rng(3)
    caption = "three ships moored at the quay of a harbor"
    said = {reword(rng, caption) for _ in range(100)}
    assert len(said) > 30
    assert all(len(text.split()) >= 2 for text in said)
    assert any("3" in text for text in said)
    assert {reword(rng, "river") for _ in range(50)} >= {"river"}


def test_wordings_repeat_with_the_generator() -> None:
    first, second = (
        [reword(np.random.default_rng(4), "a large ship at the quay") for _ in range(3)]
        for _ in range(2)
    )
    assert first == second
