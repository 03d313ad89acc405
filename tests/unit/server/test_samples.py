from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from rsq.errors import BadSource
from rsq.similarity import normalise
from rsq_server.build.samples import (
    BINS,
    CELLS,
    POINTS,
    PORT_QUERY,
    ShownQuery,
    choose_queries,
    find_hits,
    make_thumbnails,
    sample_similarities,
)
from rsq_server.datasets.image_text_set import ImageTextSet, Sample
from rsq_server.details import Hit, QueryHits


def _rows(count: int, seed: int) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    return normalise(random.standard_normal((count, 8)).astype(np.float32))


def _image(color: tuple[int, int, int], size: tuple[int, int] = (400, 300)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, color).save(buffer, "PNG")
    return buffer.getvalue()


def _set(*labels: str | None, images: bytes = b"") -> ImageTextSet:
    samples = tuple(Sample(images, label, (f"caption {i}",)) for i, label in enumerate(labels))
    return ImageTextSet("words", "e" * 64, samples, all(labels))


def test_points_and_counts_are_of_the_same_pairs_in_both() -> None:
    images, texts = _rows(200, 0), _rows(150, 1)
    noisy = normalise(images + np.float32(0.05) * _rows(200, 2))
    found = sample_similarities("vision int8", (images, texts), (noisy, texts))
    assert found.artifact == "vision int8"
    assert len(found.fp32) == len(found.variant) == POINTS
    assert len(found.fp32_counts) == len(found.variant_counts) == BINS
    assert sum(found.fp32_counts) == sum(found.variant_counts) == CELLS
    assert 0.99 < np.corrcoef(found.fp32, found.variant)[0, 1] < 1
    assert found.low < min(found.variant)
    assert found.high > max(found.fp32)
    # Spread over the whole matrix, and so like it.
    whole = images @ texts.T
    error = float(whole.std()) / POINTS**0.5
    assert np.mean(found.fp32) == pytest.approx(whole.mean(), abs=4 * error)
    assert found == sample_similarities("vision int8", (images, texts), (noisy, texts))


def test_every_pair_of_a_small_set_is_sampled_once() -> None:
    images, texts = _rows(3, 0), _rows(4, 1)
    found = sample_similarities("text int8", (images, texts), (images, -texts))
    assert sorted(found.fp32) == pytest.approx(sorted((images @ texts.T).ravel()), abs=1e-6)
    assert found.variant == tuple(-value for value in found.fp32)
    assert sum(found.fp32_counts) == 12


def test_constant_similarities_still_have_bins() -> None:
    same = np.repeat(_rows(1, 0), 5, axis=0)
    found = sample_similarities("vision int8", (same, same), (same, same))
    assert found.low < found.high
    assert sum(found.fp32_counts) == 25


def test_queries_are_the_port_and_captions_spread_over_the_labels() -> None:
    labels = [f"L{i // 4}" for i in range(36)] + ["Port"]
    dataset = _set(*labels)
    queries = [s.captions[0] for s in dataset.samples]
    shown = choose_queries(dataset, queries, np.arange(37), port_row=50)
    assert shown[0] == ShownQuery(PORT_QUERY, 50, None, "Port")
    assert len(shown) == 8
    assert len({query.label for query in shown[1:]}) == 7
    for query in shown[1:]:
        assert query.text == queries[query.row]
        assert query.own_image == query.row
        assert query.label == labels[query.row]


def test_label_prompts_stand_in_for_captions_and_nothing_is_known_without_labels() -> None:
    dataset = _set("red", "blue", "blue")
    shown = choose_queries(dataset, ["of blue", "of red"], None, port_row=4)
    assert [query.label for query in shown] == [None, "blue", "red"]
    bare = choose_queries(_set(None, None), ["a", "b", "c"], None, port_row=3)
    assert {query.label for query in bare} == {None}
    assert len(bare) == 4


def test_hits_are_the_nearest_images_of_each_pair_and_say_whether_they_are_right() -> None:
    dataset = _set("red", "blue", "red", "blue", "red", "blue", "red")
    images, texts = _rows(7, 0), _rows(2, 1)
    shown = [ShownQuery("asked", 1, own_image=3, label="blue"), ShownQuery("other", 0)]
    asked, other = find_hits(dataset, shown, {"fp32": (images, texts), "int8": (-images, texts)})
    assert (asked.query, list(asked.pairs)) == ("asked", ["fp32", "int8"])
    cosines = images @ texts[1]
    order = np.argsort(-cosines)
    assert [int(hit.image) for hit in asked.pairs["fp32"]] == order[:5].tolist()
    assert [hit.score for hit in asked.pairs["fp32"]] == pytest.approx(
        np.sort(cosines)[::-1][:5], abs=1e-6
    )
    assert [int(hit.image) for hit in asked.pairs["int8"]] == order[::-1][:5].tolist()
    for hit in asked.pairs["fp32"]:
        assert hit.relevant == (dataset.samples[int(hit.image)].label == "blue")
    assert {hit.relevant for hit in other.pairs["fp32"]} == {None}


def test_without_labels_only_the_own_image_is_known_to_be_right() -> None:
    dataset = _set(None, None, None)
    images = np.eye(3, dtype=np.float32)
    (found,) = find_hits(dataset, [ShownQuery("x", 0, own_image=0)], {"fp32": (images, images)})
    assert [hit.relevant for hit in found.pairs["fp32"]] == [True, None, None]


def test_thumbnails_are_small_jpeg_files_of_the_images_that_were_hit() -> None:
    dataset = _set("a", "b", "c", images=_image((200, 30, 60)))
    hits = (
        QueryHits("x", {"fp32": (Hit("000002", 0.5, None),), "int8": (Hit("000000", 0.5, None),)}),
    )
    found = make_thumbnails(dataset, hits)
    assert list(found) == ["000000", "000002"]
    image = Image.open(io.BytesIO(found["000002"]))
    assert (image.format, image.size) == ("JPEG", (160, 120))
    assert np.abs(np.asarray(image).astype(int)[60, 80] - (200, 30, 60)).max() < 8


def test_an_image_that_broke_meanwhile_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.png"
    path.write_bytes(_image((1, 2, 3))[:80])
    dataset = ImageTextSet("one", "e" * 64, (Sample(path, None, ()),), labels=False)
    hits = (QueryHits("x", {"fp32": (Hit("000000", 0.5, None),)}),)
    with pytest.raises(BadSource, match=r"broken\.png can't be used"):
        make_thumbnails(dataset, hits)
