"""Signing keys: Ed25519, each in an encrypted PKCS #8 file, in a folder that need not be here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from securesystemslib.exceptions import Error as SecureSystemsError
from securesystemslib.signer import CryptoSigner, SSlibKey

from rsq.durable import disk_failures, make_folder, sync_folder
from rsq.errors import BadInput, NotFound

MIN_PASSPHRASE_CHARACTERS = 8
MAX_KEY_BYTES = 64 << 10
Signers = Mapping[str, CryptoSigner]  # by key id


def make_key(folder: Path, name: str, passphrase: str) -> CryptoSigner:
    """A new key in `folder`/`name`.pem, readable by its owner only. Raises BadInput where there is
    one of that name or the passphrase is too short, EnvironmentFault, Exhausted."""
    check_passphrase(passphrase)
    path = folder / f"{name}.pem"
    private = Ed25519PrivateKey.generate()
    data = private.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase.encode())
    )
    with disk_failures(f"{path} can't be written"):
        make_folder(folder)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError as e:
            raise BadInput(f"{path} is there already; keys are never overwritten.") from e
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        sync_folder(folder)
    return CryptoSigner(private, SSlibKey.from_crypto(private.public_key()))


def load_keys(folder: Path, passphrase: str) -> dict[str, CryptoSigner]:
    """All keys of the folder by their ids. Raises NotFound for a folder without any, BadInput for a
    wrong passphrase or a damaged file."""
    with disk_failures(f"{folder} can't be read"):
        paths = sorted(folder.glob("*.pem")) if folder.is_dir() else []
        if not paths:
            raise NotFound(f"There are no keys (*.pem) in {folder}; name their folder by --keys.")
        signers = [_load_key(path, passphrase) for path in paths]
    return {signer.public_key.keyid: signer for signer in signers}


def check_passphrase(passphrase: str) -> str:
    """`passphrase` unchanged. Raises BadInput where it is empty or short."""
    if len(passphrase) < MIN_PASSPHRASE_CHARACTERS:
        raise BadInput(
            f"The passphrase has fewer than {MIN_PASSPHRASE_CHARACTERS} characters; keys are never "
            "written without a real one."
        )
    return passphrase


def _load_key(path: Path, passphrase: str) -> CryptoSigner:
    if path.stat().st_size > MAX_KEY_BYTES:
        raise BadInput(f"{path} is too large to be a key.")
    try:
        private = load_pem_private_key(path.read_bytes(), passphrase.encode())
        return CryptoSigner(private)
    except (ValueError, TypeError, UnsupportedAlgorithm, SecureSystemsError) as e:
        raise BadInput(
            f"{path} can't be opened: the passphrase is wrong, or the file is cut off or no "
            "encrypted PKCS #8 key."
        ) from e
