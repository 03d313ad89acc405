"""An artifact on the publisher's disk, before it is in a registry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rsq.encoder import CPU_PROVIDERS, Encoder
from rsq.errors import GateRefused, InternalError
from rsq.manifest import Manifest, Tower, artifact_id, encode_manifest

REFERENCE_VARIANT = "fp32"
MANIFEST_NAME = "manifest.json"


@dataclass(frozen=True)
class BuiltArtifact:
    """`folder` holds the files that `manifest` names, under their names."""

    folder: Path
    manifest: Manifest

    @property
    def id(self) -> str:
        return artifact_id(encode_manifest(self.manifest))

    @property
    def tower(self) -> Tower:
        return self.manifest.tower

    @property
    def variant(self) -> str:
        return self.manifest.variant

    @property
    def cpu_provider(self) -> str:
        """What runs the artifact on a CPU."""
        return CPU_PROVIDERS[self.manifest.format]

    def open(self, *, threads: int) -> Encoder:
        """The artifact loaded on the CPU."""
        return Encoder(self.folder, self.manifest, provider=self.cpu_provider, threads=threads)

    def __str__(self) -> str:
        return f"{self.tower} {self.variant}"


def reference_of(artifacts: list[BuiltArtifact], tower: Tower) -> BuiltArtifact:
    """The FP32 artifact of `tower`, which every publish builds."""
    return next(a for a in artifacts if a.tower == tower and a.variant == REFERENCE_VARIANT)


@contextmanager
def refuse_broken(artifact: BuiltArtifact) -> Iterator[None]:
    """Turns what the encoder says of NaN and zeros into GateRefused, naming the artifact."""
    try:
        yield
    except InternalError as e:
        raise GateRefused(f"The artifact {artifact} is broken: {e.message}") from e
