from __future__ import annotations

import pytest

from rsq_server.build.questions import ask, label_prompt
from rsq_server.datasets.image_text_set import ImageTextSet, Sample
from rsq_server.demo.scenes import CLASSES


def _set(*samples: tuple[str | None, tuple[str, ...]], labels: bool = True) -> ImageTextSet:
    found = tuple(Sample(b"", label, captions) for label, captions in samples)
    return ImageTextSet("words", "e" * 64, found, labels)


def test_first_captions_ask_for_their_own_images_and_labels_classify_all() -> None:
    asked = ask(_set(("Port", ("a", "b")), ("Bridge", ()), ("Port", ("c",))))
    assert asked.queries == ("a", "c")
    assert asked.prompts == ("a satellite image of bridge", "a satellite image of port")
    assert asked.targets.own_images is not None
    assert asked.targets.own_images.tolist() == [0, 2]
    assert asked.targets.label_indices is not None
    assert asked.targets.label_indices.tolist() == [1, 0, 1]


def test_without_captions_the_labels_search_and_without_labels_the_scene_classes() -> None:
    labelled = ask(_set(("red", ()), ("blue", ())))
    assert labelled.queries == labelled.prompts
    assert labelled.queries[0] == "a satellite image of blue"
    assert labelled.targets.own_images is None
    bare = ask(_set((None, ()), labels=False))
    assert len(bare.queries) == len(CLASSES)
    assert bare.prompts == ()
    assert bare.targets.label_indices is None


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("SparseResidential", "sparse residential"),
        ("snow mountain", "snow mountain"),
        ("storage_tanks-2", "storage tanks 2"),
        ("Port", "port"),
    ],
)
def test_folder_names_become_words(label: str, words: str) -> None:
    assert label_prompt(label) == f"a satellite image of {words}"
