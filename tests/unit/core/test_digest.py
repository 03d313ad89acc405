from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from rsq.digest import digest_bytes, digest_file, digest_parts, is_digest, require_digest
from rsq.errors import BadInput


def test_bytes_parts_and_files_agree_with_hashlib(tmp_path: Path) -> None:
    data = bytes(range(256)) * 9000
    path = tmp_path / "file"
    path.write_bytes(data)
    expected = hashlib.sha256(data).hexdigest()
    assert digest_bytes(data) == expected
    assert digest_parts([data[:17], memoryview(data)[17:]]) == expected
    assert digest_file(path) == expected


@pytest.mark.parametrize("text", ["", "a" * 63, "A" * 64, "../" + "a" * 61, "a" * 64 + "\n"])
def test_only_64_lower_case_hex_characters_are_a_digest(text: str) -> None:
    assert not is_digest(text)
    with pytest.raises(BadInput):
        require_digest(text)
    assert require_digest("0f" * 32) == "0f" * 32
