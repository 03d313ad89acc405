"""tests/golden/model_signing holds a signature that the official tool made (model_signing 1.1.1,
`sign key`)."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from rsq.errors import BadInput, BadSource, EnvironmentFault, IntegrityError
from rsq_server.sources.signature import check_signature

GOLDEN = Path(__file__).parents[2] / "golden" / "model_signing"
KEY = GOLDEN / "public.pem"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return Path(shutil.copytree(GOLDEN / "checkpoint", tmp_path / "checkpoint"))


def _write_key(path: Path, private: Any) -> Path:
    data = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    path.write_bytes(data)
    return path


def _sign(checkpoint: Path, statement: dict[str, Any], private: ec.EllipticCurvePrivateKey) -> None:
    kind, payload = "application/vnd.in-toto+json", json.dumps(statement).encode()
    signed = b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)
    signature = private.sign(signed, ec.ECDSA(hashes.SHA256()))
    envelope = {
        "payloadType": kind,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [{"sig": base64.b64encode(signature).decode()}],
    }
    (checkpoint / "model.sig").write_text(json.dumps({"dsseEnvelope": envelope}))


def test_the_official_tools_signature_verifies(checkpoint: Path) -> None:
    (checkpoint / "README.md").write_text("Reworded since; no tower depends on it.")
    assert check_signature(checkpoint, KEY) == "The source's signature was verified by public.pem."


def test_a_changed_and_an_added_file_are_named(checkpoint: Path) -> None:
    (checkpoint / "tokenizer.json").write_text("{}")
    with pytest.raises(IntegrityError, match=r"tokenizer\.json is not among"):
        check_signature(checkpoint, KEY)
    (checkpoint / "tokenizer.json").unlink()
    (checkpoint / "config.json").write_text("{}")
    with pytest.raises(IntegrityError, match=r"config\.json is not the file"):
        check_signature(checkpoint, KEY)


def test_another_key_and_another_signature_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    other = _write_key(tmp_path / "other.pem", ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(IntegrityError, match="this key"):
        check_signature(checkpoint, other)
    path = checkpoint / "model.sig"
    fields = json.loads(path.read_text())
    payload = base64.b64decode(fields["dsseEnvelope"]["payload"]).replace(b"config", b"fonfig")
    fields["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()
    path.write_text(json.dumps(fields))
    with pytest.raises(IntegrityError, match="this key"):
        check_signature(checkpoint, KEY)


def test_a_signature_without_a_key_is_told_of_and_a_key_without_a_signature_refused(
    checkpoint: Path,
) -> None:
    note = check_signature(checkpoint, None)
    assert note is not None
    assert "--source-key" in note
    (checkpoint / "model.sig").unlink()
    assert check_signature(checkpoint, None) is None
    with pytest.raises(BadSource, match=r"model\.sig"):
        check_signature(checkpoint, KEY)


@pytest.mark.parametrize(
    "data", ["", "[]", "{}", '{"dsseEnvelope": {"payload": 3}}', "[" * 100_000]
)
def test_what_is_no_signature_is_named_so(checkpoint: Path, data: str) -> None:
    (checkpoint / "model.sig").write_text(data)
    with pytest.raises(BadSource, match="no model signature"):
        check_signature(checkpoint, KEY)


@pytest.mark.parametrize(
    "change",
    [
        {"predicateType": "https://example.org/other"},
        {"predicate": {"resources": [], "serialization": {"method": "shards"}}},
        {
            "predicate": {
                "resources": [{"algorithm": "md5", "digest": "0", "name": "config.json"}],
                "serialization": {"method": "files"},
            }
        },
        {"predicate": {}},
    ],
)
def test_other_forms_of_signature_are_refused(
    checkpoint: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    statement = {
        "predicateType": "https://model_signing/signature/v1.0",
        "predicate": {"resources": [], "serialization": {"method": "files"}},
        **change,
    }
    _sign(checkpoint, statement, private)
    with pytest.raises(BadSource):
        check_signature(checkpoint, _write_key(tmp_path / "key.pem", private))


def test_what_is_no_key_is_named_so(checkpoint: Path, tmp_path: Path) -> None:
    truncated = tmp_path / "truncated.pem"
    truncated.write_bytes(KEY.read_bytes()[:80])
    other = _write_key(tmp_path / "ed25519.pem", ed25519.Ed25519PrivateKey.generate())
    for path in (truncated, other):
        with pytest.raises(BadInput, match=path.name):
            check_signature(checkpoint, path)
    with pytest.raises(EnvironmentFault):
        check_signature(checkpoint, tmp_path / "missing.pem")
