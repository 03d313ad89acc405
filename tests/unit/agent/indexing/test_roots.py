from __future__ import annotations

from pathlib import Path

import pytest

from rsq.errors import BadInput, EnvironmentFault
from rsq_agent.indexing.roots import Roots


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    path = tmp_path / "root" / "scene.tif"
    path.touch()
    (tmp_path / "secret").touch()
    return path


def test_a_file_below_a_root_may_be_read_also_through_a_link_inside(scene: Path) -> None:
    roots = Roots([scene.parent])
    assert roots.check(str(scene)) == scene.resolve()
    (scene.parent / "again.tif").symlink_to(scene)
    assert roots.check(str(scene.parent / "again.tif")) == scene.resolve()


def test_nothing_outside_the_roots_may_be_read(scene: Path, tmp_path: Path) -> None:
    (scene.parent / "out").symlink_to(tmp_path / "secret")
    (scene.parent / "round").symlink_to(scene.parent / "round")
    roots = Roots([scene.parent])
    for uri in (
        str(tmp_path / "secret"),
        f"{scene.parent}/../secret",
        f"{scene.parent}/out",
        f"{scene.parent}/round",
        f"{scene.parent}/missing.tif",
        f"{scene.parent}-beside/x",
        "scene.tif",
        "",
        "/a\0b",
        "https://example.org/a.tif",
    ):
        with pytest.raises(BadInput):
            roots.check(uri)


def test_an_agent_without_roots_says_how_to_give_it_some() -> None:
    with pytest.raises(EnvironmentFault, match="--root DIR"):
        Roots([]).require_some()
