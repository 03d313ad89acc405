from __future__ import annotations

import hashlib
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from rsq.chunks import Bitmap, chunk_range, describe_file


@given(data=st.binary(max_size=5000), chunk_bytes=st.integers(1, 1500))
def test_the_chunks_cover_the_file_once_in_order(
    tmp_path_factory: object, data: bytes, chunk_bytes: int
) -> None:
    path = Path(tmp_path_factory.mktemp("chunks")) / "file"  # type: ignore[attr-defined]
    path.write_bytes(data)
    entry = describe_file(path, role="weights", name="w", chunk_bytes=chunk_bytes)
    pieces = []
    for index, digest in enumerate(entry.chunks):
        offset, length = chunk_range(entry, index)
        pieces.append(data[offset : offset + length])
        assert hashlib.sha256(pieces[-1]).hexdigest() == digest
    assert b"".join(pieces) == data
    assert entry.sha256 == hashlib.sha256(data).hexdigest()
    assert entry.size_bytes == len(data)


@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1)))))
def test_a_bitmap_remembers_what_was_added(case: tuple[int, set[int]]) -> None:
    count, added = case
    bitmap = Bitmap(count)
    for index in added:
        bitmap.add(index)
    again = Bitmap(count, bitmap.to_bytes())
    assert set(again.missing()) == set(range(count)) - added
    for index in added:
        again.discard(index)
    assert again.missing() == list(range(count))


def test_a_torn_journal_counts_as_empty() -> None:
    assert Bitmap(20, b"\xff").missing() == list(range(20))
