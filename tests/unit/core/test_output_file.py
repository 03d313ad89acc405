"""rsq.output_file: a file is whole under its name or not there, and a full disk is said so."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from rsq.errors import EnvironmentFault, Exhausted, NotFound
from rsq.output_file import require_space, write_output


def test_the_file_has_all_pieces_and_replaces_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"before")
    write_output(path, [b"one", b"", b"two"])
    assert path.read_bytes() == b"onetwo"
    assert list(tmp_path.iterdir()) == [path]


def test_whoever_may_read_new_files_may_read_it(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    write_output(tmp_path / "out", [b"data"])
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "usual").stat().st_mode


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (NotFound("gone"), NotFound),
        (KeyboardInterrupt(), KeyboardInterrupt),
        (OSError(errno.ENOSPC, "No space left on device"), Exhausted),
        (OSError(errno.EIO, "Input/output error"), EnvironmentFault),
    ],
)
def test_a_failure_halfway_leaves_what_was_there(
    tmp_path: Path, raised: BaseException, expected: type[BaseException]
) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"before")

    def pieces() -> Iterator[bytes]:
        yield b"half"
        raise raised

    with pytest.raises(expected):
        write_output(path, pieces())
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_isnt_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "out"
    with pytest.raises(EnvironmentFault, match="missing"):
        write_output(path, [b"data"])
    with pytest.raises(EnvironmentFault, match="missing"):
        require_space(path.parent, 1)


def test_more_than_the_disk_has_is_refused_with_both_sizes(tmp_path: Path) -> None:
    require_space(tmp_path, 1)
    with pytest.raises(Exhausted, match=r"free; .* TB are needed"):
        require_space(tmp_path, 10**15)
