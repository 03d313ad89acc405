"""The client workflow over HTTP, by python-tuf's own fetcher."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tuf.api.exceptions import DownloadError, RepositoryError
from tuf.ngclient import Updater, UpdaterConfig

from rsq.durable import disk_failures, write_durably
from rsq.errors import EnvironmentFault, NotFound, Untrusted


def init(metadata_dir: Path, root: Path) -> None:
    """Raises EnvironmentFault."""
    with disk_failures(f"{metadata_dir}/root.json can't be made from {root}"):
        write_durably(metadata_dir / "root.json", root.read_bytes())


def refresh(metadata_dir: Path, url: str) -> None:
    """Raises Untrusted, EnvironmentFault."""
    with _faults():
        Updater(str(metadata_dir), url, bootstrap=None).refresh()


def download(metadata_dir: Path, url: str, *, name: str, base_url: str, target_dir: str) -> None:
    """A target that is there already, with the right bytes, is not downloaded again. Raises
    NotFound for one that is not signed, Untrusted, EnvironmentFault."""
    config = UpdaterConfig(prefix_targets_with_hash=True)
    with _faults():
        updater = Updater(
            str(metadata_dir), url, target_dir, base_url, config=config, bootstrap=None
        )
        found = updater.get_targetinfo(name)
        if found is None:
            raise NotFound(f"{name} is not a signed target there.")
        if updater.find_cached_target(found) is None:
            updater.download_target(found)


@contextmanager
def _faults() -> Iterator[None]:
    try:
        yield
    except (RepositoryError, DownloadError) as e:
        raise Untrusted(f"{type(e).__name__}: {e}") from e
    except OSError as e:
        raise EnvironmentFault(f"The metadata can't be read or written: {e}.") from e
