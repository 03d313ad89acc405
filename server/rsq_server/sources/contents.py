"""Which files of a checkpoint count, and the digest of them.

Only the top level of a repository or folder is read. Two kinds of files count: those that decide
what the towers compute (configuration, preprocessing, tokenizer, weights), which the digest covers,
and the README, licence and signature, which are fetched but left out of the digest: rewording a
README does not make another source. Everything else, pickled weights above all, is never fetched:
loading a pickle runs the code in it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from rsq.digest import digest_bytes, digest_file
from rsq.errors import BadSource, IntegrityError
from rsq.manifest import canonical_json

_DECISIVE = frozenset(
    {
        "config.json",
        "preprocessor_config.json",
        "processor_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.json",
        "vocab.txt",
        "merges.txt",
        "model.safetensors.index.json",
    }
)
_DECISIVE_SUFFIXES = (".safetensors", ".model")  # weights; SentencePiece models
SIGNATURE_NAME = "model.sig"  # of OpenSSF model signing
_PICKLED_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".h5", ".msgpack")
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", re.ASCII)


@dataclass(frozen=True)
class RemoteFile:
    """A file as a hub lists it; what the hub does not tell is None. `git_sha1` is the object name
    that git gives a file it stores itself."""

    name: str
    size_bytes: int | None = None
    sha256: str | None = None
    git_sha1: str | None = None


@dataclass(frozen=True)
class SourceFile:
    """A file on this machine, read once."""

    name: str
    path: Path
    size_bytes: int
    sha256: str


def is_decisive(name: str) -> bool:
    """Whether the file takes part in the digest."""
    return bool(_PLAIN.fullmatch(name)) and (name in _DECISIVE or name.endswith(_DECISIVE_SUFFIXES))


def is_wanted(name: str) -> bool:
    """Whether the file is fetched: a plain name at the top level, decisive, about the licence, or
    the signature."""
    return is_decisive(name) or (
        bool(_PLAIN.fullmatch(name))
        and (
            name in ("README.md", SIGNATURE_NAME) or name.upper().startswith(("LICENSE", "LICENCE"))
        )
    )


def require_checkpoint(names: Collection[str], source: str) -> None:
    """Raises BadSource when files of these names are no checkpoint that rsq can load."""
    if not names:
        raise BadSource(f"{source} is empty.")
    if "config.json" not in names:
        raise BadSource(f"{source} holds no config.json, so it is not in Hugging Face layout.")
    if any(is_decisive(name) and name.endswith(".safetensors") for name in names):
        return
    pickled = sorted(name for name in names if name.endswith(_PICKLED_SUFFIXES))
    if pickled:
        raise BadSource(
            f"{source} holds its weights only as {pickled[0][:80]}, which can run code when "
            "loaded; convert it to safetensors first."
        )
    raise BadSource(f"{source} holds no weights (*.safetensors).")


def read_folder(folder: Path) -> tuple[SourceFile, ...]:
    """The decisive files of `folder`, by name. Raises OSError for what can't be read."""
    paths = sorted(path for path in folder.iterdir() if is_decisive(path.name) and path.is_file())
    return tuple(
        SourceFile(path.name, path, path.stat().st_size, digest_file(path)) for path in paths
    )


def verify_file(path: Path, remote: RemoteFile) -> SourceFile:
    """The downloaded file at `path`, held against all that the hub's listing says of it.

    A file that differs is removed, lest the client's cache offer it again. Raises IntegrityError.
    """
    if not path.is_file():
        raise IntegrityError(f"The download ended without {remote.name}.")
    size_bytes, sha256 = path.stat().st_size, digest_file(path)
    same = (
        remote.size_bytes in (None, size_bytes)
        and remote.sha256 in (None, sha256)
        and (remote.git_sha1 is None or remote.git_sha1 == _git_sha1(path, size_bytes))
    )
    if not same:
        path.resolve().unlink()
        path.unlink(missing_ok=True)
        raise IntegrityError(
            f"{remote.name} is not the file that the hub lists and was removed; download it again."
        )
    return SourceFile(remote.name, path, size_bytes, sha256)


def digest_source(files: Iterable[SourceFile]) -> str:
    """SHA-256 over the canonical JSON of the sorted [name, size, SHA-256] of the decisive files:
    the same content gives the same digest under any path and from any hub."""
    rows = sorted(
        [file.name, file.size_bytes, file.sha256] for file in files if is_decisive(file.name)
    )
    return digest_bytes(canonical_json(rows))


def _git_sha1(path: Path, size_bytes: int) -> str:
    # git names a blob by the SHA-1 of "blob <size>\0" and its bytes. Not a security measure here:
    # it is all that the hub tells of small files, and it catches damage.
    running = hashlib.sha1(b"blob %d\0" % size_bytes, usedforsecurity=False)
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            running.update(piece)
    return running.hexdigest()
