"""A certificate and its private key, checked before anyone relies on them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rsq.errors import BadSecret, CertificateExpired, CertificateNotYetValid
from rsq.tls.files import read_pem


@dataclass(frozen=True)
class KeyPair:
    """PEM, checked."""

    certificate: bytes
    key: bytes


def read_key_pair(certificate: Path, key: Path, now: datetime | None = None) -> KeyPair:
    """Raises BadSecret for files that are missing, damaged, encrypted or don't belong together,
    CertificateExpired and CertificateNotYetValid."""
    pem, key_pem = read_pem(certificate, "certificate"), read_pem(key, "private key")
    leaf = _parse_certificates(pem, certificate)[0]
    check_dates(leaf, str(certificate), now)
    if _public_bytes(_parse_key(key_pem, key)) != _public_bytes(leaf):
        raise BadSecret(f"The private key {key} does not belong to the certificate {certificate}.")
    return KeyPair(pem, key_pem)


def read_authority(path: Path) -> bytes:
    """The PEM of one or more certificates. Raises BadSecret for anything else."""
    pem = read_pem(path, "certificate authority")
    _parse_certificates(pem, path)
    return pem


def check_dates(certificate: Any, name: str, now: datetime | None = None) -> None:
    """Raises CertificateExpired and CertificateNotYetValid; `name` says which one it is."""
    now = now or datetime.now(UTC)
    if now > certificate.not_valid_after_utc:
        raise CertificateExpired(
            f"The certificate {name} expired on {_day(certificate.not_valid_after_utc)}; "
            "put a new one in its place."
        )
    if now < certificate.not_valid_before_utc:
        raise CertificateNotYetValid(
            f"The certificate {name} is not valid before "
            f"{_day(certificate.not_valid_before_utc)}; is this machine's clock right?"
        )


def _parse_certificates(pem: bytes, path: Path) -> list[Any]:
    from cryptography import x509

    try:
        found = x509.load_pem_x509_certificates(pem)
    except ValueError as e:
        raise BadSecret(f"{path} does not hold a certificate in PEM, or is cut off.") from e
    return list(found)


def _parse_key(pem: bytes, path: Path) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return load_pem_private_key(pem, password=None)
    except TypeError as e:
        raise BadSecret(
            f"The private key {path} has a password; write one without: "
            "openssl pkey -in KEY -out PLAIN"
        ) from e
    except (ValueError, UnsupportedAlgorithm) as e:
        raise BadSecret(f"{path} does not hold a private key in PEM, or is cut off.") from e


def _public_bytes(holder: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = holder.public_key()
    data: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return data


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
