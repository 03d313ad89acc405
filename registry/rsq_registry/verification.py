"""Verification: every blob that a version needs is here and has the bytes its name promises."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from rsq.errors import IntegrityError, NotFound, RsqError
from rsq_registry.blobs import Blobs
from rsq_registry.catalogue import Catalogue

Fault = Literal["missing", "damaged"]


@dataclass(frozen=True)
class Finding:
    """A blob that is not as it should be; `repaired` from another source, or why that failed."""

    digest: str
    fault: Fault
    repaired: bool
    detail: str


@dataclass(frozen=True)
class Verification:
    blobs: int
    size_bytes: int
    findings: tuple[Finding, ...]

    @property
    def is_clean(self) -> bool:
        """Whether everything is right now."""
        return all(finding.repaired for finding in self.findings)


def verify(
    catalogue: Catalogue,
    blobs: Blobs,
    *,
    repair: Callable[[str], Iterator[bytes]] | None = None,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> Verification:
    """Hashes everything that versions need. `repair` gives the bytes of a blob from elsewhere; they
    are stored only where their digest is right. `advance` takes blobs done and all."""
    needed = sorted(catalogue.referenced_digests())
    findings: list[Finding] = []
    size_bytes = 0
    for done, digest in enumerate(needed):
        advance(done, len(needed))
        fault: Fault
        try:
            blobs.verify(digest)
        except NotFound:
            fault = "missing"
        except IntegrityError:
            fault = "damaged"
        else:
            size_bytes += blobs.size(digest)
            continue
        findings.append(_repair(blobs, digest, fault, repair))
    advance(len(needed), len(needed))
    return Verification(len(needed), size_bytes, tuple(findings))


def _repair(
    blobs: Blobs, digest: str, fault: Fault, repair: Callable[[str], Iterator[bytes]] | None
) -> Finding:
    if repair is None:
        return Finding(digest, fault, False, "no other source was named")
    try:
        blobs.put_pieces(repair(digest), expected=digest)
    except RsqError as e:
        return Finding(digest, fault, False, e.message)
    return Finding(digest, fault, True, "stored again from the other source")
