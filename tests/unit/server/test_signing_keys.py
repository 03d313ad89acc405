from __future__ import annotations

import stat
from pathlib import Path

import pytest

from rsq.errors import BadInput, NotFound
from rsq_server.signing.keys import load_keys, make_key

PASSPHRASE = "correct horse"


def test_a_key_is_encrypted_private_and_never_overwritten(tmp_path: Path) -> None:
    key = make_key(tmp_path / "keys", "root-1", PASSPHRASE)
    path = tmp_path / "keys" / "root-1.pem"
    assert path.read_text().startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(load_keys(path.parent, PASSPHRASE)) == [key.public_key.keyid]
    with pytest.raises(BadInput, match="never overwritten"):
        make_key(tmp_path / "keys", "root-1", PASSPHRASE)


@pytest.mark.parametrize("passphrase", ["", "7 chars"])
def test_a_key_needs_a_real_passphrase(tmp_path: Path, passphrase: str) -> None:
    with pytest.raises(BadInput, match="passphrase"):
        make_key(tmp_path, "root-1", passphrase)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_passphrase_and_a_truncated_key_are_named(tmp_path: Path) -> None:
    make_key(tmp_path, "root-1", PASSPHRASE)
    with pytest.raises(BadInput, match=r"root-1\.pem"):
        load_keys(tmp_path, "something else")
    path = tmp_path / "root-1.pem"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(BadInput, match="cut off"):
        load_keys(tmp_path, PASSPHRASE)
    path.write_bytes(bytes(1 << 20))
    with pytest.raises(BadInput, match="too large"):
        load_keys(tmp_path, PASSPHRASE)


def test_a_folder_without_keys_is_named(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(NotFound, match="--keys"):
            load_keys(folder, PASSPHRASE)
