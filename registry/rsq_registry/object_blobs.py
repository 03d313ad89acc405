"""Blobs in an object store: S3, or what speaks its protocol, through obstore.

    PREFIX/sha256/ab/abcd...    complete blobs

An object appears whole or not at all, and its bytes are hashed before they are sent, so whatever
has a name is complete. Each blob passes through a temporary file on the way up, since its digest is
its name and has to be known first. Uploads that are killed may leave parts that no listing shows;
let a lifecycle rule of the bucket remove them.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import IO, Any, BinaryIO

from rsq.digest import is_digest, require_digest
from rsq.durable import DISK_FULL
from rsq.errors import BadInput, EnvironmentFault, Exhausted, IntegrityError, NotFound
from rsq_registry.blobs import read_pieces

TIMEOUT_SECONDS = 60  # of one request, its body included
RETRIES = 4
# A request that moves one of these has to end in time, over links of 0.4 MB/s and faster.
RANGE_BYTES = 8 << 20
PARTS_AT_ONCE = 4  # of 5 MiB, S3's smallest


class ObjectBlobs:
    """Blobs below a URL such as s3://bucket/prefix, as `rsq_registry.blobs.Blobs` describes.

    Endpoint, region and credentials come from the standard AWS environment variables. Raises
    BadInput for a malformed URL, EnvironmentFault where obstore is not installed.
    """

    def __init__(self, url: str) -> None:
        try:
            import obstore
            from obstore.store import from_url
        except ImportError as e:
            raise EnvironmentFault(
                "Blobs at a URL need obstore: pip install 'rsq-server[s3]'."
            ) from e
        self._obstore: Any = obstore
        try:
            self._store: Any = from_url(
                url,
                # Plain HTTP only where the user's endpoint says so; the stores' own are HTTPS.
                client_options={"timeout": f"{TIMEOUT_SECONDS}s", "allow_http": True},
                retry_config={
                    "max_retries": RETRIES,
                    "retry_timeout": timedelta(seconds=TIMEOUT_SECONDS),
                },
            )
        except (ValueError, obstore.exceptions.BaseError) as e:
            raise BadInput("The blob store's URL is malformed; write s3://bucket/prefix.") from e

    def put_pieces(self, pieces: Iterable[bytes], *, expected: str | None = None) -> str:
        if expected is not None:
            require_digest(expected)
        with self._translated("A blob can't be stored"), tempfile.TemporaryFile() as file:
            running = hashlib.sha256()
            for piece in pieces:
                running.update(piece)
                file.write(piece)
            digest = running.hexdigest()
            if expected is not None and digest != expected:
                raise IntegrityError(
                    f"The bytes have the digest {digest}, not {expected} as announced."
                )
            file.seek(0)
            self._obstore.put(self._store, _key(digest), file, max_concurrency=PARTS_AT_ONCE)
        return digest

    def put_file(self, path: Path, *, expected: str | None = None) -> str:
        return self.put_pieces(read_pieces(path), expected=expected)

    def put_bytes(self, data: bytes, *, expected: str | None = None) -> str:
        return self.put_pieces([data], expected=expected)

    def open(self, digest: str) -> BinaryIO:
        # A copy, because the object may be deleted while it is read.
        with self._translated(f"The blob {digest} can't be copied"):
            file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
            try:
                for piece in self._pieces(digest):
                    file.write(piece)
                file.seek(0)
            except BaseException:
                file.close()
                raise
            return file  # type: ignore[return-value]

    def read(self, digest: str, offset: int, length: int) -> bytes:
        size_bytes = self.size(digest)
        if not 0 <= offset <= size_bytes or length < 0:
            raise BadInput(
                f"{length} bytes from {offset} are outside the blob of {size_bytes} bytes."
            )
        length = min(length, size_bytes - offset)
        if length == 0:
            return b""
        with self._needing(digest) as key:
            return bytes(self._obstore.get_range(self._store, key, start=offset, length=length))

    def size(self, digest: str) -> int:
        with self._needing(digest) as key:
            return int(self._obstore.head(self._store, key)["size"])

    def has(self, digest: str) -> bool:
        try:
            self.size(digest)
        except NotFound:
            return False
        return True

    def digests(self) -> Iterator[str]:
        with self._translated("The blob store can't be listed"):
            for page in self._obstore.list(self._store, prefix="sha256"):
                for entry in page:
                    folder, _, name = str(entry["path"]).rpartition("/")
                    if is_digest(name) and folder.endswith(name[:2]):
                        yield name

    def delete(self, digest: str) -> None:
        self.size(digest)  # S3 deletes what is not there without a word
        with self._needing(digest) as key:
            self._obstore.delete(self._store, key)

    def verify(self, digest: str) -> None:
        running = hashlib.sha256()
        for piece in self._pieces(digest):
            running.update(piece)
        if running.hexdigest() != digest:
            raise IntegrityError(
                f"The blob {digest} is damaged: its bytes have digest {running.hexdigest()}."
            )

    def discard_unfinished(self, *, older_than_s: float) -> int:
        """Nothing is left that could be seen from here."""
        return 0

    def _pieces(self, digest: str) -> Iterator[bytes]:
        # By ranges: one request for everything would run out of time on large blobs.
        size_bytes = self.size(digest)
        for start in range(0, size_bytes, RANGE_BYTES):
            with self._needing(digest) as key:
                end = min(start + RANGE_BYTES, size_bytes)
                piece = bytes(self._obstore.get_range(self._store, key, start=start, end=end))
            yield piece

    @contextmanager
    def _needing(self, digest: str) -> Iterator[str]:
        key = _key(digest)
        with self._translated(f"The blob {digest} can't be used"):
            try:
                yield key
            except FileNotFoundError as e:
                raise NotFound(f"There is no blob {digest}.") from e

    @contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        try:
            yield
        except self._obstore.exceptions.BaseError as e:
            raise EnvironmentFault(f"{what}: {_reason(e)}.") from e
        except OSError as e:
            if e.errno in DISK_FULL:
                raise Exhausted(f"{what}: the disk for temporary files is full.") from e
            raise EnvironmentFault(f"{what}: {e.strerror or _reason(e)}.") from e


def _key(digest: str) -> str:
    require_digest(digest)
    return f"sha256/{digest[:2]}/{digest}"


def _reason(error: Exception) -> str:
    """obstore's first line, with the store's own sentence in place of the XML around it."""
    text = str(error).strip() or type(error).__name__
    said = re.search(r"<Message>([^<]*)</Message>", text)
    line = text.splitlines()[0].partition(" <?xml")[0]
    return (f"{line} {said[1]}" if said else line)[:500].rstrip(".: ")
