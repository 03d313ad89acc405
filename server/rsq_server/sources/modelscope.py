"""The ModelScope adapter. The client (modelscope_hub, what `modelscope.snapshot_download` calls)
reads its own environment: MODELSCOPE_ENDPOINT, MODELSCOPE_API_TOKEN and MODELSCOPE_CACHE.

`modelscope` itself is not imported: it loads torch for a download. The client checks sizes and
SHA-256 where the listing has them; the check is repeated here, for cached files too.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

from rsq.errors import (
    BadInput,
    EnvironmentFault,
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

ACCESS_HINT = "set MODELSCOPE_API_TOKEN to a token that may read it"
DEFAULT_REVISION = "master"


def download_modelscope(
    reference: HubReference, advance: Callable[[int, int | None], None]
) -> tuple[str, tuple[SourceFile, ...]]:
    """(revision, files) of `reference` in the client's cache; what is there is not fetched again.

    `advance` receives (bytes done, bytes in all) from any thread. Raises NotFound, Unreachable,
    Unauthenticated, PermissionDenied, BadSource, IntegrityError, Exhausted, EnvironmentFault.
    """
    try:
        return _download(reference, advance)
    except RsqError:
        raise
    except Exception as e:
        raise explain_modelscope(e, reference) from e


def _download(
    reference: HubReference, advance: Callable[[int, int | None], None]
) -> tuple[str, tuple[SourceFile, ...]]:
    from modelscope_hub import HubApi

    revision = reference.revision or DEFAULT_REVISION
    # 1. Which of the hub's two sites holds the repository; asks nobody where an endpoint is set.
    api = HubApi(
        endpoint=HubApi().resolve_endpoint_for_read(reference.repository, repo_type="model")
    )

    # 2. List first: an unfit repository is refused before a byte of it is fetched.
    entries = api.list_repo_files(reference.repository, "model", revision=revision)
    listing = [
        # The hub lists size 0 for what it does not know.
        RemoteFile(entry.path, entry.size or None, entry.sha256 or None)
        for entry in entries
        if not entry.is_dir
    ]
    require_checkpoint([file.name for file in listing], str(reference))
    wanted = [file for file in listing if is_wanted(file.name)]
    total = sum(file.size_bytes or 0 for file in wanted) or None

    # 3. Fetch exactly these files. The client joins listed paths to its cache folder as they are,
    #    so nothing below the top level may pass.
    folder = api.download_repo(
        reference.repository,
        "model",
        revision=revision,
        allow_patterns=[file.name for file in wanted],
        ignore_patterns=["*/*"],
        max_workers=4,
        progress_callbacks=[_counting_callback(lambda done: advance(done, total))],
    )

    # 4. Hold them against the listing.
    files = tuple(verify_file(Path(folder) / file.name, file) for file in wanted)
    if total is not None:
        advance(total, total)
    return revision, files


def explain_modelscope(error: Exception, reference: HubReference) -> RsqError:
    """The error of rsq for an exception of the client."""
    import requests
    from modelscope_hub import errors as hub

    if isinstance(error, hub.FileDownloadError):
        failures = [e for e in error.failed_files.values() if isinstance(e, Exception)]
        if failures:
            return explain_modelscope(failures[0], reference)
    if fault := find_local_fault(error):
        return fault
    for cause in walk_causes(error):
        if isinstance(cause, hub.AuthenticationError):
            return Unauthenticated(f"The hub wants to know who reads {reference}; {ACCESS_HINT}.")
        if isinstance(cause, hub.PermissionDeniedError):
            return PermissionDenied(f"The hub does not let you read {reference}; {ACCESS_HINT}.")
        if isinstance(cause, hub.NotExistError):
            return NotFound(f"The hub knows no {reference}; if it is private, {ACCESS_HINT}.")
        if isinstance(cause, hub.FileIntegrityError):
            return IntegrityError(f"A file of {reference} arrived other than the hub lists it.")
        if isinstance(cause, hub.InvalidParameter):
            return BadInput(f"The hub refuses {reference} as a name.")
        if isinstance(cause, hub.ServerError | hub.RateLimitError):
            return Unreachable(
                f"The hub of {reference} answered with status {cause.status_code}; try again later."
            )
        if isinstance(cause, hub.CacheError):
            return EnvironmentFault("The ModelScope client's cache can't be used.")
        if isinstance(cause, ConnectionError | TimeoutError | requests.ConnectionError):
            return Unreachable(f"The hub of {reference} can't be reached, or broke the connection.")
        if isinstance(cause, ValueError):
            return Unreachable(f"The hub of {reference} answered something that is not its API.")
    return InternalError(f"Downloading {reference} failed: {type(error).__name__}.")


def _counting_callback(advance: Callable[[int], None]) -> type[Any]:
    """A callback class, made once a file by the client, that reports bytes over all files."""
    from modelscope_hub import ProgressCallback

    lock = Lock()
    done = 0

    class CountingCallback(ProgressCallback):
        def update(self, size: int) -> None:  # negative when the client starts a file again
            nonlocal done
            with lock:
                done += size
                advance(done)

    return CountingCallback
