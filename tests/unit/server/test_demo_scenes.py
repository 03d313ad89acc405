"""Generated scenes: reproducible, complete, varied and truthfully captioned."""

from __future__ import annotations

import re

import numpy as np
import pytest

from rsq.errors import BadInput
from rsq_server.demo.drawing import NUMBERS
from rsq_server.demo.scenes import CLASSES, Scene, generate_scene, generate_scenes

TEN = (
    "urban",
    "farmland",
    "forest",
    "coast",
    "snow mountain",
    "desert",
    "river",
    "airport",
    "port",
    "industrial",
)


@pytest.fixture(scope="module")
def many() -> list[Scene]:
    return generate_scenes(seed=41, per_class=8, size=64)


def _pixels(scene: Scene) -> np.ndarray:
    return np.asarray(scene.image, dtype=np.float32)


def test_the_classes_are_the_ten_that_the_guide_names() -> None:
    assert CLASSES == TEN


@pytest.mark.parametrize("label", TEN)
def test_one_seed_always_gives_the_same_bytes_and_captions(label: str) -> None:
    first, second = (generate_scene(label, seed=7, size=96) for _ in range(2))
    assert first.image.tobytes() == second.image.tobytes()
    assert first.captions == second.captions


@pytest.mark.parametrize("label", TEN)
def test_another_seed_gives_another_scene(label: str) -> None:
    first, second = (generate_scene(label, seed=seed, size=48) for seed in (7, 8))
    assert np.abs(_pixels(first) - _pixels(second)).mean() > 8.0


@pytest.mark.parametrize("label", TEN)
def test_another_size_shows_the_same_scene(label: str) -> None:
    small, large = (generate_scene(label, seed=9, size=size) for size in (64, 192))
    other = generate_scene(label, seed=10, size=64)
    assert small.captions == large.captions
    shrunk = np.asarray(large.image.reduce(6), dtype=np.float32)
    coarse, foreign = (
        np.asarray(scene.image.reduce(2), dtype=np.float32) for scene in (small, other)
    )
    assert np.abs(shrunk - coarse).mean() < 0.5 * np.abs(shrunk - foreign).mean()


def test_images_are_rgb_of_the_size_asked_for() -> None:
    image = generate_scene("port", seed=1, size=100).image
    assert image.mode == "RGB"
    assert image.size == (100, 100)


def test_a_set_holds_each_class_equally_often_in_order_and_no_scene_twice(
    many: list[Scene],
) -> None:
    assert [scene.label for scene in many] == [label for label in TEN for _ in range(8)]
    assert len({scene.image.tobytes() for scene in many}) == len(many)


def test_a_set_is_the_same_for_one_seed_and_another_for_the_next(many: list[Scene]) -> None:
    again = generate_scenes(seed=41, per_class=8, size=64)
    other = generate_scenes(seed=42, per_class=1, size=64)
    assert [scene.image.tobytes() for scene in again] == [s.image.tobytes() for s in many]
    assert not {scene.image.tobytes() for scene in other} & {s.image.tobytes() for s in many}


def test_every_scene_has_several_different_captions_in_plain_words(many: list[Scene]) -> None:
    for scene in many:
        assert len(scene.captions) >= 4
        assert len(set(scene.captions)) == len(scene.captions)
        for caption in scene.captions:
            assert re.fullmatch(r"[a-z]+([ -][a-z]+)*", caption), caption


def test_ports_are_captioned_in_the_words_people_search_with() -> None:
    said = {c for seed in range(20) for c in generate_scene("port", seed=seed, size=16).captions}
    assert "port with large cargo ships" in said
    assert "cargo ships docked at a harbour" in said


def test_a_port_always_shows_at_least_one_ship() -> None:
    for seed in range(40):
        counted = generate_scene("port", seed=seed, size=16).captions[2].split()[0]
        assert counted in NUMBERS[1:], counted


def test_captions_of_one_class_differ_between_scenes(many: list[Scene]) -> None:
    for label in TEN:
        assert len({scene.captions[0] for scene in many if scene.label == label}) >= 3


def test_an_unknown_class_is_refused_with_the_list_of_classes() -> None:
    with pytest.raises(BadInput, match=r"'moon'.*snow mountain"):
        generate_scene("moon", seed=1)
