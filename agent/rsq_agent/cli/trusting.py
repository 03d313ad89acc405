"""How `pull` and `import` get at what was signed, on a node that has a pinned root."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rsq.errors import UnsignedArtifact
from rsq.records import VersionRow
from rsq_agent.config import AgentConfig
from rsq_agent.trust.folder import TrustFolder, read_root_file

if TYPE_CHECKING:
    from rsq.bundle import BundleReader

Vouch = Callable[[str, VersionRow], VersionRow]
TrustedRoot = Annotated[
    Path | None,
    typer.Option(
        "--root",
        help="Pin this root.json first: from then on only what is signed is taken.",
        metavar="FILE",
    ),
]


@contextmanager
def open_server_trust(config: AgentConfig, *, root: Path | None) -> Iterator[Vouch]:
    """Vouches for what the server says, by metadata that is brought up to date from there; for
    everything where no root is pinned. Raises Untrusted, and what the server raises."""
    folder = _pinned(config, root)
    if folder is None:
        yield _take_all
        return
    from rsq.rpc.trust import TrustClient
    from rsq_agent.trust.updating import Trust

    with TrustClient(config.server) as client:
        yield Trust(folder).update(client).vouch


@contextmanager
def open_bundle_trust(
    config: AgentConfig, bundle: BundleReader, *, root: Path | None
) -> Iterator[Vouch]:
    """Vouches for a bundle's version by the metadata that it carries, or by newer ones that the
    node knows. Raises Untrusted."""
    folder = _pinned(config, root)
    if folder is None:
        yield _take_all
        return
    data = bundle.trust()
    if data is None:
        raise UnsignedArtifact(
            f"{bundle.target} carries no signed metadata, and this node takes only what is signed. "
            "Sign the version, then export it again."
        )
    from rsq.updates.metadata_files import decode_document
    from rsq_agent.trust.updating import Trust

    carried = decode_document(data, target=bundle.target)
    yield Trust(folder).update_from_bundle(carried).vouch


def _pinned(config: AgentConfig, root: Path | None) -> TrustFolder | None:
    folder = TrustFolder(config.home)
    if root is not None:
        folder.pin(read_root_file(root))
    if not folder.is_pinned or not folder.policy().require_signed:
        return None
    return folder


def _take_all(reference: str, version: VersionRow) -> VersionRow:
    return version
