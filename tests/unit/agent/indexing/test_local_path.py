"""Links to files here, and to what is elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from rsq_agent.indexing.local_path import resolve_href

FOLDER = Path("/data/stac")


@pytest.mark.parametrize(
    ("href", "path"),
    [
        ("./item.json", "/data/stac/item.json"),
        ("../a dir/scene.tif", "/data/a dir/scene.tif"),
        ("/abs/scene.tif", "/abs/scene.tif"),
        ("file:///abs/a%20dir/scene.tif", "/abs/a dir/scene.tif"),
        ("file://localhost/abs/scene.tif", "/abs/scene.tif"),
    ],
)
def test_local_links_become_absolute_paths(href: str, path: str) -> None:
    assert resolve_href(href, FOLDER) == Path(path)


@pytest.mark.parametrize(
    "href",
    [
        "",
        "https://example.org/scene.tif",
        "s3://bucket/scene.tif",
        "//example.org/scene.tif",
        "file://elsewhere/scene.tif",
        "a\0b.tif",
    ],
)
def test_what_is_elsewhere_has_no_path(href: str) -> None:
    assert resolve_href(href, FOLDER) is None
