from __future__ import annotations

from pathlib import Path

import pytest

from rsq.errors import NotFound, Untrusted
from rsq.updates.metadata_files import (
    MAX_FILES,
    MESSAGE_BYTES,
    MetadataFolder,
    collect,
    decode_document,
    encode_document,
)
from rsq.updates.names import MetadataName

FILES = {
    MetadataName("root", 1): b"{1}",
    MetadataName("root", 2): b"{2}",
    MetadataName("targets", 9): b"{9}",
    MetadataName("targets", 10): b"{10}",
    MetadataName("timestamp"): b"{t}",
}


@pytest.fixture
def folder(tmp_path: Path) -> MetadataFolder:
    folder = MetadataFolder(tmp_path / "metadata")
    for name, data in FILES.items():
        folder.write(name, data)
    return folder


def test_the_newest_is_the_highest_number(folder: MetadataFolder) -> None:
    assert folder.newest("targets") == MetadataName("targets", 10)
    assert folder.newest("snapshot") is None


def test_a_node_needs_every_root_and_the_newest_of_the_rest(folder: MetadataFolder) -> None:
    wanted = dict(FILES)
    del wanted[MetadataName("targets", 9)]
    assert collect(folder) == wanted


def test_nothing_is_collected_before_there_is_a_timestamp(tmp_path: Path) -> None:
    folder = MetadataFolder(tmp_path)
    folder.write(MetadataName("root", 1), b"{}")
    assert collect(folder) == {}


def test_long_files_come_in_pieces(folder: MetadataFolder) -> None:
    data = bytes(range(256)) * (MESSAGE_BYTES // 128)
    folder.write(MetadataName("targets", 11), data)
    pieces = list(folder.metadata(MetadataName("targets", 11)))
    assert b"".join(pieces) == data
    assert max(map(len, pieces)) == MESSAGE_BYTES
    with pytest.raises(NotFound):
        list(folder.metadata(MetadataName("targets", 12)))


def test_a_document_carries_the_files_unchanged() -> None:
    carried = decode_document(encode_document(FILES), target="a.rsq")
    assert carried.files == FILES
    assert b"".join(carried.metadata(MetadataName("timestamp"))) == b"{t}"
    with pytest.raises(NotFound, match=r"a\.rsq"):
        list(carried.metadata(MetadataName("snapshot", 1)))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"schema":1}',
        b'{"schema":2,"files":{}}',
        b'{"schema":1,"files":{"../x.json":"{}"}}',
        b'{"schema":1,"files":{"root.json":3}}',
        b'{"schema":1,"files":["root.json"]}',
        b"\xff",
        b"[" * 100_000,
        b'{"schema":1,"files":{'
        + b",".join(b'"%d.a.json":""' % n for n in range(1, MAX_FILES + 2))
        + b"}}",
    ],
)
def test_a_malformed_document_is_refused(data: bytes) -> None:
    with pytest.raises(Untrusted, match=r"a\.rsq"):
        decode_document(data, target="a.rsq")
