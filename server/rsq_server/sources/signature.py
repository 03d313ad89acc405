"""OpenSSF model signatures (`model.sig`) of a checkpoint, by the signer's public key.

A signature is a Sigstore bundle: a DSSE envelope around an in-toto statement that lists files with
their SHA-256. Verified here are the files that decide what the towers compute: rsq reads no others,
and fetches no others from hubs. Signatures by certificates or identities need the services behind
them and the official tool.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from rsq.durable import disk_failures
from rsq.errors import BadInput, BadSource, IntegrityError
from rsq_server.sources.contents import SIGNATURE_NAME, SourceFile, read_folder

MAX_SIGNATURE_BYTES = 16 << 20
MAX_KEY_BYTES = 64 << 10
_STATEMENT = "application/vnd.in-toto+json"
_PREDICATE = "https://model_signing/signature/v1.0"
_HASHES: dict[int, type[hashes.HashAlgorithm]] = {  # by the bits of the curve
    256: hashes.SHA256,
    384: hashes.SHA384,
    521: hashes.SHA512,
}


def check_signature(folder: Path, key: Path | None) -> str | None:
    """What to tell the publisher of the signature of the checkpoint in `folder`; None where it has
    none and no `key` (PEM) was given.

    Raises BadSource where a key was given and there is no signature that it can verify,
    IntegrityError for a signature of another key or other files, BadInput for what is no key.
    """
    path = folder / SIGNATURE_NAME
    if key is None:
        if not path.is_file():
            return None
        return (
            f"The source carries a signature ({SIGNATURE_NAME}) that was not verified; name the "
            "signer's public key by --source-key."
        )
    public = _read_key(key)
    if not path.is_file():
        raise BadSource(f"The source has no {SIGNATURE_NAME}, so {key} has nothing to verify.")
    with disk_failures(f"{SIGNATURE_NAME} can't be read"):
        if path.stat().st_size > MAX_SIGNATURE_BYTES:
            raise BadSource(f"{SIGNATURE_NAME} is over {MAX_SIGNATURE_BYTES} bytes.")
        data = path.read_bytes()
        files = read_folder(folder)
    _compare(_read_statement(data, public), files)
    return f"The source's signature was verified by {key.name}."


def _read_key(path: Path) -> EllipticCurvePublicKey:
    with disk_failures(f"{path} can't be read"), path.open("rb") as file:
        data = file.read(MAX_KEY_BYTES)
    try:
        key = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as e:
        raise BadInput(f"{path} is no public key in PEM form, or it is cut off.") from e
    if not isinstance(key, EllipticCurvePublicKey) or key.key_size not in _HASHES:
        raise BadInput(f"{path} is not of an elliptic curve that model signing uses (P-256...).")
    return key


def _read_statement(data: bytes, key: EllipticCurvePublicKey) -> dict[str, str]:
    """The signed files' SHA-256 by name."""
    try:
        envelope = json.loads(data)["dsseEnvelope"]
        kind = str(envelope["payloadType"])
        payload = base64.b64decode(envelope["payload"], validate=True)
        signatures = [base64.b64decode(one["sig"], validate=True) for one in envelope["signatures"]]
    except (ValueError, KeyError, TypeError, RecursionError) as e:
        raise BadSource(f"{SIGNATURE_NAME} is no model signature (a Sigstore bundle).") from e
    # The envelope's pre-authentication encoding: nothing is parsed before it is verified.
    signed = b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)
    if not any(_verifies(key, signature, signed) for signature in signatures):
        raise IntegrityError(
            f"{SIGNATURE_NAME} was not made by this key. Get the signer's key anew, or do not use "
            "this checkpoint."
        )
    try:
        statement = json.loads(payload)
        predicate = statement["predicate"]
        supported = (
            kind == _STATEMENT
            and statement["predicateType"] == _PREDICATE
            and predicate["serialization"]["method"] == "files"
            and all(one["algorithm"] == "sha256" for one in predicate["resources"])
        )
        listed = {str(one["name"]): str(one["digest"]) for one in predicate["resources"]}
    except (ValueError, KeyError, TypeError, RecursionError) as e:
        raise BadSource(f"{SIGNATURE_NAME} holds no list of files.") from e
    if not supported:
        raise BadSource(
            f"{SIGNATURE_NAME} is of a form that rsq does not read; sign whole files with SHA-256 "
            "(model signing 1.0)."
        )
    return listed


def _verifies(key: EllipticCurvePublicKey, signature: bytes, signed: bytes) -> bool:
    try:
        key.verify(signature, signed, ECDSA(_HASHES[key.key_size]()))
    except InvalidSignature:
        return False
    return True


def _compare(listed: dict[str, Any], files: Collection[SourceFile]) -> None:
    for file in files:
        if file.name not in listed:
            raise IntegrityError(f"{file.name} is not among the files that were signed.")
        if listed[file.name] != file.sha256:
            raise IntegrityError(f"{file.name} is not the file that was signed.")
