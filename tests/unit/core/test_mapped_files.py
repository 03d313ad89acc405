from __future__ import annotations

import mmap
from pathlib import Path

from rsq.mapped_files import unread_bytes

MAPPED = """\
7f00-7f10 r--p 00000000 fe:00 1 {folder}/model.onnx.data
Size:                100 kB
Rss:                  40 kB
Pss:                  40 kB
VmFlags: rd mr
7f20-7f30 r--p 00010000 fe:00 1 {folder}/model.onnx.data
Size:                 10 kB
Rss:                   0 kB
7f40-7f50 r--p 00000000 fe:00 2 {folder}-other/model.onnx.data
Size:               1000 kB
Rss:                   0 kB
7f60-7f70 rw-p 00000000 00:00 0
Size:               1000 kB
Rss:                   0 kB
"""


def test_what_is_mapped_from_the_folder_and_not_resident_is_counted(tmp_path: Path) -> None:
    smaps = tmp_path / "smaps"
    smaps.write_text(MAPPED.format(folder=tmp_path / "artifact"))
    assert unread_bytes(tmp_path / "artifact", smaps) == 70 * 1024
    assert unread_bytes(tmp_path / "artifact", tmp_path / "missing") == 0


def test_what_was_read_no_longer_counts(tmp_path: Path) -> None:
    size = 1 << 22
    path = tmp_path / "weights"
    path.write_bytes(bytes(size))
    with path.open("rb") as file, mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as mapped:
        before = unread_bytes(tmp_path)
        assert before > size // 2
        assert sum(mapped[::4096]) == 0
        assert unread_bytes(tmp_path) < before // 2
