from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image

from rsq.retrieval import Payload, SearchHit, Window
from rsq_agent.results import hit_pictures
from rsq_agent.results.hit_pictures import cut_pictures, encode_jpeg


def make_hit(uri: Path | str, window: Window | None = None) -> SearchHit:
    return SearchHit(0.2, 0.5, str(uri), Payload(window), "a" * 64)


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """Four quarters of one colour each."""
    image = Image.new("RGB", (200, 100), (255, 0, 0))
    image.paste((0, 255, 0), (100, 0, 200, 50))
    image.paste((0, 0, 255), (0, 50, 100, 100))
    path = tmp_path / "scene.png"
    image.save(path)
    return path


def test_a_window_is_cut_and_scaled_down_keeping_its_shape(scene: Path) -> None:
    whole, green, blue = cut_pictures(
        [
            make_hit(scene),
            make_hit(scene, Window(100, 0, 100, 50)),
            make_hit(scene, Window(0, 50, 100, 50)),
        ],
        edge=40,
    )
    assert whole.image is not None
    assert whole.image.size == (40, 20)
    assert green.image is not None
    assert green.image.size == (40, 20)
    assert green.image.getpixel((20, 10)) == (0, 255, 0)
    assert blue.image is not None
    assert blue.image.getpixel((20, 10)) == (0, 0, 255)


def test_a_small_image_is_not_blown_up_and_a_tile_beyond_the_edge_is_what_is_there(
    scene: Path,
) -> None:
    whole, edge = cut_pictures(
        [make_hit(scene), make_hit(scene, Window(150, 50, 100, 100))], edge=500
    )
    assert whole.image is not None
    assert whole.image.size == (200, 100)
    assert edge.image is not None
    assert edge.image.size == (50, 50)


def test_a_file_of_several_hits_is_decoded_once(
    scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = []
    decode = hit_pictures.decode_image
    monkeypatch.setattr(
        hit_pictures, "decode_image", lambda data: decoded.append(1) or decode(data)
    )
    windows = [Window(10 * n, 0, 10, 10) for n in range(5)]
    cut_pictures([make_hit(scene, window) for window in windows], edge=40)
    assert len(decoded) == 1


def test_what_cannot_be_shown_says_why_and_keeps_its_place(scene: Path, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    hits = [
        make_hit(tmp_path / "gone.png"),
        make_hit(scene),
        make_hit(tmp_path / "text.png"),
        make_hit("s3://bucket/a.png"),
        make_hit(tmp_path),
        make_hit(scene, Window(200, 0, 10, 10)),
    ]
    pictures = cut_pictures(hits, edge=40)
    reasons = ["no such file", "", "none of the known formats", "not a path", "can't be read"]
    for picture, reason in zip(pictures, [*reasons, "without this window"], strict=True):
        assert reason in picture.reason
        assert (picture.image is None) == bool(reason)


def test_a_jpeg_of_a_picture_is_small(scene: Path) -> None:
    (picture,) = cut_pictures([make_hit(scene)], edge=320)
    assert picture.image is not None
    data = encode_jpeg(picture.image)
    assert data.startswith(b"\xff\xd8\xff")
    assert len(data) < 4000


def test_a_window_of_a_deep_scene_is_scaled_as_the_whole_scene(tmp_path: Path) -> None:
    values = np.linspace(0, 4000, 400 * 300, dtype=np.uint16).reshape(1, 300, 400)
    path = tmp_path / "scene.tif"
    place = rasterio.Affine(0.001, 0, 4, 0, -0.001, 52)
    shape = {"width": 400, "height": 300, "count": 1}
    with rasterio.open(
        path, "w", driver="GTiff", dtype="uint16", crs="EPSG:4326", transform=place, **shape
    ) as scene:
        scene.write(values)
    windows = [Window(0, 0, 100, 60), Window(300, 240, 100, 60), Window(380, 280, 100, 60)]
    dark, bright, edge = cut_pictures([make_hit(path, window) for window in windows], edge=50)
    for picture, size in ((dark, (50, 30)), (bright, (50, 30)), (edge, (20, 20))):
        assert picture.image is not None
        assert picture.image.size == size
    assert dark.image is not None
    assert bright.image is not None
    assert np.asarray(dark.image).mean() < 60
    assert np.asarray(bright.image).mean() > 200


def test_a_tile_is_shown_in_the_bands_that_it_was_indexed_with(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    values = np.stack([np.full((64, 64), value, np.uint8) for value in (10, 90, 170, 250)])
    place = rasterio.Affine(0.001, 0, 4, 0, -0.001, 52)
    shape = {"width": 64, "height": 64, "count": 4}
    with rasterio.open(
        path, "w", driver="GTiff", dtype="uint8", crs="EPSG:4326", transform=place, **shape
    ) as scene:
        scene.write(values)
    payloads = [Payload(Window(0, 0, 32, 32), stamp=stamp) for stamp in ("1-2", "1-2-ab-b4.2.1")]
    hits = [SearchHit(0.2, 0.5, str(path), payload, "a" * 64) for payload in payloads]
    pixels = []
    for picture in cut_pictures(hits, edge=32):
        assert picture.image is not None
        pixels.append(picture.image.getpixel((0, 0)))
    assert pixels == [(10, 90, 170), (250, 90, 10)]
