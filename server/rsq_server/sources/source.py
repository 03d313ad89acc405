"""Step 1 of publish: from what a user typed to a folder in Hugging Face layout and its digest."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files as package_files
from pathlib import Path

from rsq.errors import BadInput, BadSource, EnvironmentFault
from rsq_server.sources.contents import digest_source, read_folder, require_checkpoint
from rsq_server.sources.faults import find_local_fault
from rsq_server.sources.reference import (
    EXAMPLES,
    HubReference,
    names_hub,
    parse_hub_reference,
)
from rsq_server.sources.transfer import run_download

DEMO = "demo"


@dataclass(frozen=True)
class Source:
    """A checkpoint ready to load. `folder` holds it at its top level; `description` names where it
    came from without a path of this machine, such as `hf:ORG/NAME@COMMIT` or `folder:NAME`;
    `digest` is `contents.digest_source` of its files."""

    folder: Path
    description: str
    digest: str


def resolve_source(
    text: str,
    *,
    work_folder: Path,
    revision: str | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> Source:
    """The checkpoint that `text` names: `demo`, `hf:ORG/NAME`, `modelscope:ORG/NAME`, either with
    `@REVISION`, or the path of a local folder (`./demo` for a folder of that name).

    A hub's files stay in its client's own cache, so that publishing again downloads nothing; for
    them `folder` is a new folder of links in `work_folder`, which must outlive the Source.
    `progress` receives (bytes done, bytes in all or None) of a download.

    Raises BadInput for a malformed text, BadSource for a folder or repository that is no checkpoint
    in safetensors, and for hubs NotFound, Unreachable, Unauthenticated, PermissionDenied,
    IntegrityError, Exhausted and EnvironmentFault.
    """
    if names_hub(text):
        reference = parse_hub_reference(text, revision)
        return _resolve_hub(reference, work_folder, progress)
    if revision is not None:
        raise BadInput(f"Only a hub has revisions, and {text[:80]!r} is not on one.")
    if text == DEMO:
        return _resolve_demo()
    return _resolve_folder(text)


def _resolve_hub(
    reference: HubReference,
    work_folder: Path,
    progress: Callable[[int, int | None], None] | None,
) -> Source:
    download = run_download(reference, progress)
    # A client's snapshot folder may also hold what other programs or earlier revisions left there.
    # Links to the verified files, and to nothing else, keep that away from the loader.
    try:
        work_folder.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="source-", dir=work_folder))
        for file in download.files:
            (folder / file.name).symlink_to(file.path.resolve())
    except OSError as e:
        fault = find_local_fault(e) or EnvironmentFault("The work folder can't be written.")
        raise fault from e
    description = f"{reference.hub}:{reference.repository}@{download.revision}"
    return Source(folder, description, digest_source(download.files))


def _resolve_demo() -> Source:
    folder = Path(str(package_files("rsq_server.demo") / "model"))
    if not folder.is_dir():
        raise EnvironmentFault("This installation of rsq-server lacks the demo checkpoint.")
    return _read(folder, DEMO, DEMO)


def _resolve_folder(text: str) -> Source:
    if not text.strip():
        raise BadInput(f"The model source is empty; {EXAMPLES}.")
    shown = repr(text[:200])
    try:
        folder = Path(text).expanduser().resolve()
        exists, is_folder = folder.exists(), folder.is_dir()
    except (OSError, ValueError, RuntimeError) as e:  # too long; a null character; ~nobody
        raise BadInput(f"{shown} is not a path; {EXAMPLES}.") from e
    if not exists:
        raise BadSource(f"There is no folder {shown}; for a hub {EXAMPLES}.")
    if not is_folder:
        raise BadSource(f"{shown} is a file; name the folder that holds the checkpoint.")
    return _read(folder, f"folder:{folder.name}", f"The folder {shown}")


def _read(folder: Path, description: str, subject: str) -> Source:
    try:
        require_checkpoint([path.name for path in folder.iterdir()], subject)
        return Source(folder, description, digest_source(read_folder(folder)))
    except OSError as e:
        raise EnvironmentFault(f"{subject} can't be read.") from e
