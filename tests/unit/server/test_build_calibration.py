from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from image_sets import make_noise_png, make_png, make_set, write_images
from numpy.typing import NDArray
from PIL import Image
from tiny_checkpoints import CLIP_LENGTH, SIGLIP_LENGTH, SIZE, write_clip, write_siglip

from rsq.errors import BadInput, BadSource
from rsq.similarity import normalise
from rsq_server.build.calibration import (
    IMAGES,
    TEXTS,
    CheckpointPreparer,
    choose_calibration,
    compare_looks,
)
from rsq_server.build.dual_encoder import DualEncoder
from rsq_server.build.load import load_encoder
from rsq_server.datasets.augmentation import AugmentedImage
from rsq_server.datasets.generated import generated_set
from rsq_server.datasets.image_text_set import ImageTextSet, Sample
from rsq_server.datasets.loading import load_calibration_set, load_image_text_set


def _preparer(encoder: DualEncoder) -> CheckpointPreparer:
    return CheckpointPreparer(encoder.image, encoder.text_spec, encoder.tokenizer_json)


@pytest.fixture(scope="module")
def siglip(tmp_path_factory: pytest.TempPathFactory) -> CheckpointPreparer:
    return _preparer(load_encoder(write_siglip(tmp_path_factory.mktemp("siglip"))))


def test_inputs_are_the_towers_own_one_at_a_time(siglip: CheckpointPreparer) -> None:
    calibration = choose_calibration(make_set(["a", "b"] * 10), images=6, texts=5)
    images = list(calibration.inputs("vision", siglip))
    texts = list(calibration.inputs("text", siglip))
    assert [(i.shape, i.dtype.name) for i in images] == [((1, 3, SIZE, SIZE), "float32")] * 6
    assert [(t.shape, t.dtype.name) for t in texts] == [((1, SIGLIP_LENGTH), "int64")] * 5
    np.testing.assert_array_equal(images[0][0], siglip.prepare_image(calibration.samples[0].read()))
    np.testing.assert_array_equal(texts[0], siglip.prepare_texts([calibration.texts[0]]))
    for tower, first in (("vision", images), ("text", texts)):
        again = list(calibration.inputs(tower, siglip))  # type: ignore[arg-type]
        np.testing.assert_array_equal(np.concatenate(first), np.concatenate(again))


def test_a_checkpoint_with_another_preprocessing_prepares_by_its_own(tmp_path: Path) -> None:
    clip = _preparer(load_encoder(write_clip(tmp_path)))
    calibration = choose_calibration(make_set(["a"] * 3), images=3, texts=3)
    assert next(calibration.inputs("text", clip)).shape == (1, CLIP_LENGTH)
    assert next(calibration.inputs("vision", clip)).shape == (1, 3, SIZE, SIZE)


def test_images_are_read_only_when_they_are_asked_for(
    tmp_path: Path, siglip: CheckpointPreparer
) -> None:
    root = write_images(tmp_path, [f"{index}.png" for index in range(8)])
    calibration = choose_calibration(load_calibration_set(root), images=8)
    inputs = calibration.inputs("vision", siglip)
    next(inputs)
    for path in root.iterdir():
        path.write_bytes(make_png(1)[:-30])
    with pytest.raises(BadSource, match=r"png can't be used"):
        next(inputs)


def test_a_set_that_is_large_enough_is_sampled_by_class() -> None:
    dataset = make_set(["a"] * 30 + ["b"] * 10)
    calibration = choose_calibration(dataset, images=20)
    assert Counter(sample.label for sample in calibration.samples) == {"a": 10, "b": 10}
    assert set(calibration.samples) <= set(dataset.samples)
    assert calibration.name == "made"


def test_a_small_set_is_used_whole_and_filled_up_with_variants() -> None:
    dataset = make_set(["a", "b", "b"])
    samples = choose_calibration(dataset, images=7).samples
    assert set(samples[:3]) == set(dataset.samples)
    assert [isinstance(sample.image, AugmentedImage) for sample in samples] == (
        [False] * 3 + [True] * 4
    )


def test_the_first_captions_come_before_the_second_ones_and_each_once() -> None:
    captions = [("one", "same"), ("two", "same"), ("three", "three")]
    found = choose_calibration(make_set(["a", "a", "a"], captions), images=3, texts=4).texts
    assert set(found[:3]) == {"one", "two", "three"}
    assert found[3] == "same"


def test_labels_and_then_generated_captions_stand_in_for_captions() -> None:
    texts = choose_calibration(make_set(["SeaPort", "River"] * 4)).texts
    assert texts[:2] == ("a satellite image of river", "a satellite image of sea port")
    assert len(texts) == len(set(texts)) == TEXTS
    scenes = generated_set("calibration", per_class=13).samples
    assert texts[2] == scenes[0].captions[0]
    bare = choose_calibration(make_set([None] * 8)).texts
    assert len(bare) == TEXTS


def test_the_digest_is_of_the_set_and_of_what_is_chosen_of_it() -> None:
    dataset, other = make_set(["a"] * 9), generated_set("calibration", per_class=1)
    digests = [
        choose_calibration(dataset).digest,
        choose_calibration(other).digest,
        choose_calibration(dataset, images=9).digest,
        choose_calibration(dataset, images=8).digest,
        choose_calibration(dataset, texts=7).digest,
    ]
    assert len(set(digests)) == len(digests)
    assert choose_calibration(dataset).digest == digests[0]


@pytest.mark.parametrize(("images", "texts", "count"), [(0, 1, 9), (1, 0, 9), (1, 1, 0)])
def test_nothing_to_calibrate_with_is_refused(images: int, texts: int, count: int) -> None:
    with pytest.raises(BadInput, match="1 or more images and texts"):
        choose_calibration(make_set(["a"] * count), images=images, texts=texts)


class _TorchEncoder:
    """The vision tower in torch, with the preprocessing of artifacts; embeds an image once."""

    def __init__(self, encoder: DualEncoder) -> None:
        self._preparer = _preparer(encoder)
        self._vision = encoder.vision
        self._known: dict[bytes, NDArray[np.float32]] = {}

    def prepare_image(self, data: bytes) -> NDArray[np.float32]:
        return self._preparer.prepare_image(data)

    def prepare_texts(self, texts: Sequence[str]) -> NDArray[np.int64]:
        return self._preparer.prepare_texts(texts)

    def embed_prepared(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        key = inputs.tobytes()
        if key not in self._known:
            with torch.no_grad():
                self._known[key] = normalise(self._vision(torch.from_numpy(inputs)).numpy())
        return self._known[key]


@pytest.fixture(scope="module")
def trained(rsq_data: Path) -> Iterator[_TorchEncoder]:
    threads = torch.get_num_threads()
    # Images come one at a time: more threads would wait for each other more than work.
    torch.set_num_threads(1)
    yield _TorchEncoder(load_encoder(rsq_data / "models" / "rsq-siglip-small"))
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def aid(rsq_data: Path) -> tuple[ImageTextSet, ImageTextSet]:
    folder = rsq_data / "aid-rsicd"
    return load_calibration_set(folder), load_image_text_set(folder, split="test")


def _set_of(images: Sequence[bytes]) -> ImageTextSet:
    samples = tuple(Sample(image, None, ()) for image in images)
    return ImageTextSet("made", "0" * 64, samples, False)


def test_calibration_images_of_the_same_imagery_are_not_warned_about(
    trained: _TorchEncoder, aid: tuple[ImageTextSet, ImageTextSet]
) -> None:
    calibration, test = aid
    assert compare_looks(trained, calibration, test) is None
    generated = generated_set("calibration", per_class=7)
    assert compare_looks(trained, generated, test) is None


@pytest.mark.parametrize("count", [8, IMAGES])
def test_noise_is_warned_about(
    trained: _TorchEncoder, aid: tuple[ImageTextSet, ImageTextSet], count: int
) -> None:
    noise = _set_of([make_noise_png(seed, 150) for seed in range(count)])
    sentence = compare_looks(trained, noise, aid[1])
    assert sentence is not None
    assert sentence.startswith("The calibration images look unlike the evaluation images")


def test_one_survey_of_one_place_is_warned_about(
    trained: _TorchEncoder, aid: tuple[ImageTextSet, ImageTextSet], rsq_data: Path
) -> None:
    (file,) = (rsq_data / "geotiff").glob("opengeos_naip_*2018*")
    with Image.open(file) as opened:
        image = opened.convert("RGB")
    tiles = []
    for left in range(0, image.width - 150, 150):
        for top in range(0, image.height - 150, 150):
            buffer = io.BytesIO()
            image.crop((left, top, left + 150, top + 150)).save(buffer, "PNG")
            tiles.append(buffer.getvalue())
    assert compare_looks(trained, _set_of(tiles), aid[1]) is not None
