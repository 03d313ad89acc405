"""The Hugging Face adapter. The client (huggingface_hub) reads its own environment: HF_ENDPOINT,
HF_TOKEN, HF_HOME and HF_HUB_CACHE. It checks sizes but not contents; contents are checked here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

from rsq.errors import (
    BadInput,
    IntegrityError,
    InternalError,
    NotFound,
    PermissionDenied,
    RsqError,
    Unauthenticated,
    Unreachable,
)
from rsq_server.sources.contents import (
    RemoteFile,
    SourceFile,
    is_wanted,
    require_checkpoint,
    verify_file,
)
from rsq_server.sources.faults import find_local_fault, walk_causes
from rsq_server.sources.reference import HubReference

ACCESS_HINT = "set HF_TOKEN to a token that may read it"


def download_huggingface(
    reference: HubReference, advance: Callable[[int, int | None], None]
) -> tuple[str, tuple[SourceFile, ...]]:
    """(commit, files) of `reference` in the client's cache; what is there is not fetched again.

    `advance` receives (bytes done, bytes in all) from any thread. Raises NotFound, Unreachable,
    Unauthenticated, PermissionDenied, BadSource, IntegrityError, Exhausted, EnvironmentFault.
    """
    try:
        return _download(reference, advance)
    except RsqError:
        raise
    except Exception as e:
        raise explain_huggingface(e, reference) from e


def _download(
    reference: HubReference, advance: Callable[[int, int | None], None]
) -> tuple[str, tuple[SourceFile, ...]]:
    from huggingface_hub import HfApi, snapshot_download

    # 1. List first: an unfit repository is refused before a byte of it is fetched, and the commit
    #    pins what a moving branch means from here on.
    info = HfApi().model_info(
        reference.repository, revision=reference.revision, files_metadata=True
    )
    commit = info.sha
    if commit is None:
        raise Unreachable(f"The hub did not say which commit {reference} is.")
    listing = [
        RemoteFile(
            sibling.rfilename,
            sibling.size,
            sibling.lfs.sha256 if sibling.lfs else None,
            None if sibling.lfs else sibling.blob_id,
        )
        for sibling in info.siblings or []
    ]
    require_checkpoint([file.name for file in listing], str(reference))
    wanted = [file for file in listing if is_wanted(file.name)]
    total = sum(file.size_bytes or 0 for file in wanted) or None

    # 2. Fetch exactly these files.
    folder = snapshot_download(
        reference.repository,
        revision=commit,
        allow_patterns=[file.name for file in wanted],
        ignore_patterns=["*/*"],
        max_workers=4,
        tqdm_class=_counting_bar(lambda done: advance(done, total)),
    )

    # 3. Hold them against the listing.
    files = tuple(verify_file(Path(folder) / file.name, file) for file in wanted)
    if total is not None:
        advance(total, total)
    return commit, files


def explain_huggingface(error: Exception, reference: HubReference) -> RsqError:
    """The error of rsq for an exception of the client."""
    from huggingface_hub import errors as hub

    for cause in walk_causes(error):
        if isinstance(cause, hub.HfHubHTTPError):
            return _explain_status(cause, reference)
    if fault := find_local_fault(error):
        return fault
    # The client's HTTP library changes its name between releases (httpx, httpx2); the base of its
    # errors is reached through the client.
    transport: type[BaseException] = hub.HTTPError  # type: ignore[attr-defined]
    for cause in walk_causes(error):
        if isinstance(cause, hub.OfflineModeIsEnabled):
            return Unreachable("The Hugging Face client is in offline mode (HF_HUB_OFFLINE).")
        if isinstance(cause, transport | hub.XetDownloadError | ConnectionError | TimeoutError):
            return Unreachable(f"The hub of {reference} can't be reached, or broke the connection.")
        if isinstance(cause, hub.HFValidationError):
            return BadInput(f"The hub's client refuses {reference} as a name.")
        if isinstance(cause, OSError) and "Consistency check failed" in str(cause):
            return IntegrityError(f"A file of {reference} arrived with another size than listed.")
        if isinstance(cause, ValueError):
            return Unreachable(f"The hub of {reference} answered something that is not its API.")
    return InternalError(f"Downloading {reference} failed: {type(error).__name__}.")


def _explain_status(error: Any, reference: HubReference) -> RsqError:
    from huggingface_hub import errors as hub

    status = error.response.status_code
    if isinstance(error, hub.GatedRepoError):
        kind = Unauthenticated if status == 401 else PermissionDenied
        return kind(f"{reference} is gated: accept its terms on the hub and {ACCESS_HINT}.")
    if isinstance(error, hub.RepositoryNotFoundError):
        # The hub answers the same for a missing repository and for one it won't show.
        return NotFound(f"The hub knows no {reference}; if it is private, {ACCESS_HINT}.")
    if isinstance(error, hub.RevisionNotFoundError):
        return NotFound(
            f"{reference.hub}:{reference.repository} has no revision {reference.revision!r}."
        )
    if status == 401:
        return Unauthenticated(f"The hub did not accept the token for {reference}; {ACCESS_HINT}.")
    if status == 403:
        return PermissionDenied(f"The hub does not let you read {reference}; {ACCESS_HINT}.")
    if status == 404:
        return NotFound(f"The hub lists a file of {reference} that it does not have.")
    return Unreachable(f"The hub of {reference} answered with status {status}; try again later.")


def _counting_bar(advance: Callable[[int], None]) -> type[Any]:
    """A bar that draws nothing and reports bytes. The client keeps two bars of bytes, one for the
    network and one for the disk; the larger count is the progress."""
    from huggingface_hub.utils.tqdm import tqdm

    lock = Lock()
    counts: dict[int, int] = {}

    class CountingBar(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self._counts_bytes = kwargs.get("unit") == "B"
            kwargs["disable"] = True
            super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]

        def update(self, n: float | None = 1) -> None:
            if not self._counts_bytes:
                return
            with lock:
                counts[id(self)] = counts.get(id(self), 0) + int(n or 0)
                advance(max(counts.values()))

    return CountingBar
